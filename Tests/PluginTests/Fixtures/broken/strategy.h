// The frame of the broken strategies: nothing is wrong with it. It takes turns by the pool's ticket,
// leaves tried nodes to others, has one option, and refuses a wrong value of it with a sentence. A
// fixture defines what it does wrong before it includes this: PICK, CREATE, DESTROY, UPDATE, RESULT,
// SAVE and LOAD, DESCRIBE, VERSION.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trivet_plugin.h"

#ifndef VERSION
#define VERSION "1.0.0"
#endif

typedef struct instance {
    const trivet_host *host;
    uint32_t size;        // the option
    uint32_t count;       // of `weights`
    uint32_t *weights;    // for those that keep their own
    uint64_t picks;
} instance;

static inline bool was_tried(const trivet_request *request, uint32_t node) {
    for (uint32_t i = 0; i < request->tried_count; i++)
        if (request->tried[i] == node) return true;
    return false;
}

static inline instance *make(const trivet_host *host, const trivet_strategy_setup *setup,
                             trivet_error *error) {
    trivet_json value = host->json(host, setup->config, TRIVET_STR("/size"));
    if (value.kind != TRIVET_JSON_MISSING &&
        (value.kind != TRIVET_JSON_NUMBER || value.number < 1 || value.number > 1000)) {
        trivet_error_set(error, TRIVET_STR("option \"size\" must be a number from 1 to 1000"));
        return NULL;
    }
    instance *self = calloc(1, sizeof *self);
    self->host = host;
    self->size = value.kind == TRIVET_JSON_NUMBER ? (uint32_t)value.number : 1;
    return self;
}

#ifndef CREATE
static void *create(const trivet_strategy *strategy, const trivet_host *host,
                    const trivet_strategy_setup *setup, trivet_error *error) {
    (void)strategy;
    return make(host, setup, error);
}
#define CREATE create
#endif

#ifndef DESTROY
static void destroy(void *self) {
    free(((instance *)self)->weights);
    free(self);
}
#define DESTROY destroy
#endif

static inline trivet_decision take_turns(const trivet_pool *pool, const trivet_request *request,
                                         trivet_pick *out) {
    if (pool->ready_count == 0) return TRIVET_PASS;
    uint64_t turn = pool->ticket(pool);
    for (uint32_t i = 0; i < pool->ready_count; i++) {
        uint32_t node = pool->ready[(turn + i) % pool->ready_count];
        if (was_tried(request, node)) continue;
        out->node = node;
        out->reason = TRIVET_STR("its turn");
        return TRIVET_PICKED;
    }
    return TRIVET_PASS;
}

#ifndef PICK
static trivet_decision pick(void *self, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out) {
    (void)self;
    return take_turns(pool, request, out);
}
#define PICK pick
#endif

static const trivet_option options[] = {
    {TRIVET_STR_INIT("size"), TRIVET_STR_INIT("a number from 1 to 1000 (default 1)")},
};

static const trivet_strategy strategy = {
    .size = sizeof(trivet_strategy),
    .name = TRIVET_STR_INIT("broken"),
    .summary = TRIVET_STR_INIT("a strategy with one thing wrong"),
    .state_version = 1,
    .option_count = 1,
    .options = options,
    .create = CREATE,
    .destroy = DESTROY,
    .pick = PICK,
#ifdef UPDATE
    .update = UPDATE,
#endif
#ifdef RESULT
    .result = RESULT,
#endif
#ifdef SAVE
    .save = SAVE,
    .load = LOAD,
#endif
#ifdef DESCRIBE
    .describe = DESCRIBE,
#endif
};

static const trivet_strategy *const strategies[] = {&strategy, NULL};

static const trivet_plugin plugin = {
    .size = sizeof(trivet_plugin),
    .abi_minor = TRIVET_ABI_MINOR,
    .name = TRIVET_STR_INIT("broken"),
    .version = TRIVET_STR_INIT(VERSION),
    .strategies = strategies,
};

TRIVET_EXPORT const trivet_plugin *trivet_plugin_v1(const trivet_host *host, trivet_error *error) {
    (void)host, (void)error;
    return &plugin;
}
