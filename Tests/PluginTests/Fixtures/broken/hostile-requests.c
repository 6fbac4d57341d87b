// Looks at the first letter of the method, which a TCP stream does not have.
#include "trivet_plugin.h"
static trivet_decision look(void *self, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out);
#define PICK look
#include "strategy.h"
static trivet_decision look(void *me, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out) {
    if (*(volatile const char *)request->method.data == 'G') ((instance *)me)->picks++;
    return take_turns(pool, request, out);
}
