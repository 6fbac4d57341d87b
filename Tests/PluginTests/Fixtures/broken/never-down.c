// Takes turns among all nodes, whatever their state.
#include "trivet_plugin.h"
static trivet_decision all(void *self, const trivet_pool *pool, const trivet_request *request,
                           trivet_pick *out);
#define PICK all
#include "strategy.h"
static trivet_decision all(void *self, const trivet_pool *pool, const trivet_request *request,
                           trivet_pick *out) {
    (void)self;
    if (pool->node_count == 0) return TRIVET_PASS;
    uint64_t turn = pool->ticket(pool);
    for (uint32_t i = 0; i < pool->node_count; i++) {
        uint32_t node = (uint32_t)((turn + i) % pool->node_count);
        if (was_tried(request, node)) continue;
        out->node = node;
        return TRIVET_PICKED;
    }
    return TRIVET_PASS;
}
