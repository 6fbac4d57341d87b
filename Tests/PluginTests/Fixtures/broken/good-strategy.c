// Nothing is wrong with it: what the frame does must pass, or the others prove nothing.
#include "strategy.h"
