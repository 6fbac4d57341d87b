// Counts in a variable of the whole file: what one instance picks depends on what others did before.
#include "trivet_plugin.h"
static trivet_decision count(void *self, const trivet_pool *pool, const trivet_request *request,
                             trivet_pick *out);
#define PICK count
#include "strategy.h"
static uint64_t picks;
static trivet_decision count(void *self, const trivet_pool *pool, const trivet_request *request,
                             trivet_pick *out) {
    (void)self;
    picks += 7;
    for (uint32_t i = 0; i < pool->ready_count; i++) {
        uint32_t node = pool->ready[(picks / 11 + i) % pool->ready_count];
        if (was_tried(request, node)) continue;
        out->node = node;
        return TRIVET_PICKED;
    }
    return TRIVET_PASS;
}
