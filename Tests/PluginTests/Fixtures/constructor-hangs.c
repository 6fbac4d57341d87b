// Never comes back from being mapped.
#include "fixture.h"
__attribute__((constructor)) static void start(void) {
    for (;;) pause();
}
