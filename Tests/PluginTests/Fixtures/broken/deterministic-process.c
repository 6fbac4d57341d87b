// Hashes with an address, which is another in every process: the same client, another node after a
// restart.
#include "trivet_plugin.h"
static trivet_decision hash(void *self, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out);
#define PICK hash
#include "strategy.h"
static trivet_decision hash(void *self, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out) {
    (void)self;
    uint64_t mixed = (request->hash ^ (uintptr_t)&strategy) * 0x9E3779B97F4A7C15u;
    for (uint32_t i = 0; i < pool->ready_count; i++) {
        uint32_t node = pool->ready[((mixed >> 32) + i) % pool->ready_count];
        if (was_tried(request, node)) continue;
        out->node = node;
        return TRIVET_PICKED;
    }
    return TRIVET_PASS;
}
