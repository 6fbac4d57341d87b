// Compares every node with every other, several times, to pick one.
#include "trivet_plugin.h"
static trivet_decision ponder(void *self, const trivet_pool *pool, const trivet_request *request,
                              trivet_pick *out);
#define PICK ponder
#include "strategy.h"
static trivet_decision ponder(void *me, const trivet_pool *pool, const trivet_request *request,
                              trivet_pick *out) {
    volatile uint64_t *picks = &((instance *)me)->picks;
    uint32_t n = pool->ready_count < 100 ? pool->ready_count : 100;
    for (uint32_t i = 0; i < n * n * 100; i++) *picks += i;
    return take_turns(pool, request, out);
}
