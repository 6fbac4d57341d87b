// Copies the target for every pick.
#include "trivet_plugin.h"
static trivet_decision copy(void *self, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out);
#define PICK copy
#include "strategy.h"
static trivet_decision copy(void *me, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out) {
    char *volatile target = malloc(request->target.len + 1);
    if (request->target.len > 0) memcpy(target, request->target.data, request->target.len);
    target[request->target.len] = 0;
    ((instance *)me)->picks += (unsigned char)target[0];
    free(target);
    return take_turns(pool, request, out);
}
