// The frame of every fixture: a plugin with one strategy that always picks the first ready node. A
// fixture that wants another name, or another function, defines it before it includes this.

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "trivet_plugin.h"

#ifndef NAME
#define NAME "fixture"
#endif

#ifndef CREATE
static void *create(const trivet_strategy *strategy, const trivet_host *host,
                    const trivet_strategy_setup *setup, trivet_error *error) {
    (void)strategy, (void)host, (void)setup, (void)error;
    static int instance;
    return &instance;
}
#define CREATE create
#endif

#ifndef PICK
static trivet_decision pick(void *self, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out) {
    (void)self, (void)request;
    if (pool->ready_count == 0) return TRIVET_PASS;
    out->node = pool->ready[0];
    return TRIVET_PICKED;
}
#define PICK pick
#endif

#ifndef STRATEGY_SIZE
#define STRATEGY_SIZE sizeof(trivet_strategy)
#endif

static void destroy(void *self) { (void)self; }

static const trivet_option options[] = {
    {TRIVET_STR_INIT("first"), TRIVET_STR_INIT("an option of the fixture")},
};

static const trivet_strategy strategy = {
    .size = STRATEGY_SIZE,
    .name = TRIVET_STR_INIT(NAME),
    .summary = TRIVET_STR_INIT("a strategy for tests"),
    .option_count = 1,
    .options = options,
    .create = CREATE,
    .destroy = destroy,
    .pick = PICK,
};

static const trivet_strategy *const strategies[] = {&strategy, NULL};

static const trivet_plugin plugin = {
    .size = sizeof(trivet_plugin),
    .abi_minor = TRIVET_ABI_MINOR,
    .name = TRIVET_STR_INIT("fixtures"),
    .version = TRIVET_STR_INIT("3.2.1"),
    .strategies = strategies,
};

#ifndef ENTRY
#define ENTRY trivet_plugin_v1
#endif

TRIVET_EXPORT const trivet_plugin *ENTRY(const trivet_host *host, trivet_error *error) {
    (void)host, (void)error;
    return &plugin;
}
