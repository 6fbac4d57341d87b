// Keeps a count for every node, and does not ask whether the node of a result has left.
#include "trivet_plugin.h"
static void learn(void *self, const trivet_pool *pool, const trivet_result *result);
#define RESULT learn
#include "strategy.h"
static void learn(void *me, const trivet_pool *pool, const trivet_result *result) {
    instance *self = me;
    if (self->count < pool->node_count) {
        self->weights = realloc(self->weights, pool->node_count * sizeof(uint32_t));
        memset(self->weights + self->count, 0,
               (pool->node_count - self->count) * sizeof(uint32_t));
        self->count = pool->node_count;
    }
    self->weights[result->node] += 1;
}
