// Sends a retry to the node that has just failed.
#include "trivet_plugin.h"
static trivet_decision again(void *self, const trivet_pool *pool, const trivet_request *request,
                             trivet_pick *out);
#define PICK again
#include "strategy.h"
static trivet_decision again(void *self, const trivet_pool *pool, const trivet_request *request,
                             trivet_pick *out) {
    (void)self;
    if (request->tried_count > 0 && request->tried[0] < pool->node_count) {
        for (uint32_t i = 0; i < pool->ready_count; i++) {
            if (pool->ready[i] != request->tried[0]) continue;
            out->node = pool->ready[i];
            return TRIVET_PICKED;
        }
    }
    return take_turns(pool, request, out);
}
