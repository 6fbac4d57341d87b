// Says nothing about its version.
#define VERSION ""
#include "strategy.h"
