// Gives up, and the process with it.
#include "trivet_plugin.h"
static trivet_decision leave(void *self, const trivet_pool *pool, const trivet_request *request,
                             trivet_pick *out);
#define PICK leave
#include "strategy.h"
static trivet_decision leave(void *self, const trivet_pool *pool, const trivet_request *request,
                             trivet_pick *out) {
    (void)self;
    if (request->target.len == 0) _exit(0);
    return take_turns(pool, request, out);
}
