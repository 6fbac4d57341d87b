// Waits for the end of a target that has none.
#include "trivet_plugin.h"
static trivet_decision wait(void *self, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out);
#define PICK wait
#include "strategy.h"
static trivet_decision wait(void *self, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out) {
    (void)self;
    while (request->target.len == 0) __asm__ volatile("");
    return take_turns(pool, request, out);
}
