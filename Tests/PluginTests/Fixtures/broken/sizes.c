// Was never meant for more than 4,096 nodes.
#include <assert.h>
#include "trivet_plugin.h"
static trivet_decision few(void *self, const trivet_pool *pool, const trivet_request *request,
                           trivet_pick *out);
#define PICK few
#include "strategy.h"
static trivet_decision few(void *self, const trivet_pool *pool, const trivet_request *request,
                           trivet_pick *out) {
    (void)self;
    assert(pool->node_count <= 4096);
    return take_turns(pool, request, out);
}
