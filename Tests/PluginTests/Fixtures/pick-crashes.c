// Looks sound until it is asked for the tenth node.
#include "trivet_plugin.h"
static int picks;
static trivet_decision crash(void *self, const trivet_pool *pool, const trivet_request *request,
                             trivet_pick *out) {
    (void)self, (void)pool, (void)request;
    out->node = 0;
    if (++picks == 10) *(volatile int *)8 = 1;
    return TRIVET_PICKED;
}
#define PICK crash
#include "fixture.h"
