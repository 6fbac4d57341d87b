// Walks the nodes as an array of this version's struct: `pool->nodes[i]` instead of trivet_node_at.
#include "trivet_plugin.h"
static trivet_decision walk(void *self, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out);
#define PICK walk
#include "strategy.h"
static trivet_decision walk(void *self, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out) {
    (void)self;
    uint64_t best = 0;
    for (uint32_t i = 0; i < pool->ready_count; i++) {
        uint32_t node = pool->ready[i];
        if (was_tried(request, node)) continue;
        uint64_t score = (pool->nodes[node].id ^ request->hash) * 0x9E3779B97F4A7C15u | 1;
        if (score > best) {
            best = score;
            out->node = node;
        }
    }
    return best > 0 ? TRIVET_PICKED : TRIVET_PASS;
}
