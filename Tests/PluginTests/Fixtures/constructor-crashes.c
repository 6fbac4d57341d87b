// Crashes before anyone can ask it anything.
#include "fixture.h"
__attribute__((constructor)) static void start(void) {
    fputs("fixture: about to crash\n", stderr);
    abort();
}
