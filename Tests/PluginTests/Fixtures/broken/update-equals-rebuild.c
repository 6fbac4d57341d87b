// Copies the weights when it is made and when nodes change, but not when the weights do. With SHARES it
// throws dice instead of hashing, so that no two picks can be compared.
#include "trivet_plugin.h"
static void *copy(const trivet_strategy *strategy, const trivet_host *host,
                  const trivet_strategy_setup *setup, trivet_error *error);
static trivet_decision weigh(void *self, const trivet_pool *pool, const trivet_request *request,
                             trivet_pick *out);
static void update(void *self, const trivet_pool *pool, uint32_t changed);
#define CREATE copy
#define PICK weigh
#define UPDATE update
#include "strategy.h"
static void take(instance *self, const trivet_pool *pool) {
    free(self->weights);
    self->count = pool->node_count;
    self->weights = malloc((pool->node_count + 1) * sizeof(uint32_t));
    for (uint32_t i = 0; i < pool->node_count; i++)
        self->weights[i] = trivet_node_at(pool, i)->weight % 10000;
}
static void *copy(const trivet_strategy *table, const trivet_host *host,
                  const trivet_strategy_setup *setup, trivet_error *error) {
    (void)table;
    instance *self = make(host, setup, error);
    if (self != NULL) take(self, setup->pool);
    return self;
}
static void update(void *self, const trivet_pool *pool, uint32_t changed) {
    if (changed & TRIVET_CHANGED_NODES) take(self, pool);
}
static trivet_decision weigh(void *me, const trivet_pool *pool, const trivet_request *request,
                             trivet_pick *out) {
    instance *self = me;
#ifdef SHARES
    uint64_t key = self->host->random(self->host);
#else
    uint64_t key = request->hash;
#endif
    uint64_t best = 0;
    for (uint32_t i = 0; i < pool->ready_count; i++) {
        uint32_t node = pool->ready[i];
        if (was_tried(request, node)) continue;
        uint64_t mixed = (trivet_node_at(pool, node)->id ^ key) * 0x9E3779B97F4A7C15u;
        mixed = (mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9u;
        uint64_t score = (mixed >> 32) * self->weights[node] + 1;
        if (score > best) {
            best = score;
            out->node = node;
        }
    }
    return best > 0 ? TRIVET_PICKED : TRIVET_PASS;
}
