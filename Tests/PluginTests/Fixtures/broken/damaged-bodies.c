// Takes a number of a body for a weight as it is.
#include "trivet_plugin.h"
static trivet_round weigh(void *self, const trivet_node *node, const trivet_reply *reply,
                          trivet_verdict *out);
#define JUDGE weigh
#include "check.h"
static trivet_round weigh(void *me, const trivet_node *node, const trivet_reply *reply,
                          trivet_verdict *out) {
    instance *self = me;
    (void)node;
    trivet_json tasks =
        self->host->json(self->host, reply->body, TRIVET_STR("/MaxConcurrentTasks"));
    if (tasks.kind == TRIVET_JSON_NUMBER && tasks.number >= 0)
        out->weight_percent = tasks.number < 100000 ? (uint32_t)tasks.number : 100000;
    return TRIVET_ROUND_DONE;
}
