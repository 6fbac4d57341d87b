// Asks again and again until it likes the answer.
#include "trivet_plugin.h"
static trivet_round insist(void *self, const trivet_node *node, const trivet_reply *reply,
                           trivet_verdict *out);
#define JUDGE insist
#include "check.h"
static trivet_round insist(void *self, const trivet_node *node, const trivet_reply *reply,
                           trivet_verdict *out) {
    (void)self, (void)node, (void)out;
    return reply->status == 200 ? TRIVET_ROUND_DONE : TRIVET_ROUND_NEXT;
}
