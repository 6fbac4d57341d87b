// The same mistake in a strategy that throws dice: only shares can tell.
#define SHARES
#include "update-equals-rebuild.c"
