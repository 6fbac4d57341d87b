// Nothing is wrong with it.
#include "fixture.h"
