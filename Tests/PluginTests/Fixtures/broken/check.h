// The frame of the broken health checks: nothing is wrong with it. It asks for /status and takes 200 for
// up. A fixture defines PROBE or JUDGE before it includes this.

#include <stdlib.h>

#include "trivet_plugin.h"

typedef struct instance {
    const trivet_host *host;
} instance;

static void *create(const trivet_check *check, const trivet_host *host,
                    const trivet_check_setup *setup, trivet_error *error) {
    (void)check, (void)setup, (void)error;
    instance *self = calloc(1, sizeof *self);
    self->host = host;
    return self;
}

static void destroy(void *self) { free(self); }

#ifndef PROBE
static bool probe(void *self, const trivet_node *node, uint32_t step, trivet_probe *out) {
    (void)self, (void)node, (void)step;
    out->target = TRIVET_STR("/status");
    return true;
}
#define PROBE probe
#endif

#ifndef JUDGE
static trivet_round judge(void *self, const trivet_node *node, const trivet_reply *reply,
                          trivet_verdict *out) {
    (void)self, (void)node;
    out->state = reply->outcome == TRIVET_OK && reply->status == 200 ? TRIVET_UP : TRIVET_DOWN;
    return TRIVET_ROUND_DONE;
}
#define JUDGE judge
#endif

static const trivet_check check = {
    .size = sizeof(trivet_check),
    .name = TRIVET_STR_INIT("broken"),
    .summary = TRIVET_STR_INIT("a check with one thing wrong"),
    .create = create,
    .destroy = destroy,
    .probe = PROBE,
    .judge = JUDGE,
};

static const trivet_check *const checks[] = {&check, NULL};

static const trivet_plugin plugin = {
    .size = sizeof(trivet_plugin),
    .abi_minor = TRIVET_ABI_MINOR,
    .name = TRIVET_STR_INIT("broken"),
    .version = TRIVET_STR_INIT("1.0.0"),
    .checks = checks,
};

TRIVET_EXPORT const trivet_plugin *trivet_plugin_v1(const trivet_host *host, trivet_error *error) {
    (void)host, (void)error;
    return &plugin;
}
