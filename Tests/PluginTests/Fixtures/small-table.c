// Claims a table that ends before its functions.
#define STRATEGY_SIZE 16
#include "fixture.h"
