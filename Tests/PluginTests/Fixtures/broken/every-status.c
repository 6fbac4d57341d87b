// Makes a weight of the last two digits of a status, and more of it than there can be.
#include "trivet_plugin.h"
static trivet_round weigh(void *self, const trivet_node *node, const trivet_reply *reply,
                          trivet_verdict *out);
#define JUDGE weigh
#include "check.h"
static trivet_round weigh(void *self, const trivet_node *node, const trivet_reply *reply,
                          trivet_verdict *out) {
    (void)self, (void)node;
    out->weight_percent = reply->status % 100 * 20;
    return TRIVET_ROUND_DONE;
}
