// The strategy "least-busy" in C: the ready node with the fewest requests in flight for its weight.
//
//     gcc -std=c11 -O2 -fPIC -shared -I ../../CTrivet/include -o libleast-busy.so least_busy.c
//
// One file, no dependencies, no allocation after `create`. It shows options, a refusal, the reading
// of pool and loads by stride, and the tried list of retries.

#include "trivet_plugin.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct least_busy {
    uint32_t slack; // nodes within this many requests of the least busy are equally good
    uint32_t start; // where the next search begins, so that equals take turns
    char reason[64];
} least_busy;

static const trivet_option options[] = {
    {TRIVET_STR_INIT("slack"),
     TRIVET_STR_INIT("requests by which nodes may differ and still take turns (default 0)")},
};

static void *create(const trivet_strategy *strategy, const trivet_host *host,
                    const trivet_strategy_setup *setup, trivet_error *error) {
    (void)strategy;
    uint32_t slack = 0;
    trivet_json value = host->json(host, setup->config, TRIVET_STR("/slack"));
    if (value.kind != TRIVET_JSON_MISSING) {
        if (value.kind != TRIVET_JSON_NUMBER || value.number < 0 || value.number > 1000 ||
            value.number != (double)(uint32_t)value.number) {
            trivet_error_set(
                error, TRIVET_STR("option \"slack\" must be a whole number from 0 to 1000"));
            return NULL;
        }
        slack = (uint32_t)value.number;
    }
    least_busy *self = calloc(1, sizeof *self);
    if (self == NULL) {
        trivet_error_set(error, TRIVET_STR("out of memory"));
        return NULL;
    }
    self->slack = slack;
    self->start = setup->worker; // workers begin at different nodes
    return self;
}

static void destroy(void *self) { free(self); }

static bool was_tried(const trivet_request *request, uint32_t node) {
    for (uint32_t i = 0; i < request->tried_count; i++)
        if (request->tried[i] == node) return true;
    return false;
}

static trivet_decision pick(void *me, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out) {
    least_busy *self = me;
    uint32_t best = TRIVET_NO_NODE, least = 0;
    double best_load = 0;
    for (uint32_t i = 0; i < pool->ready_count; i++) {
        uint32_t node = pool->ready[(self->start + i) % pool->ready_count];
        uint32_t weight = trivet_node_at(pool, node)->weight;
        if (weight == 0 || was_tried(request, node)) continue;
        uint32_t running = trivet_load_at(pool, node)->in_flight_all;
        uint32_t counted = running > self->slack ? running - self->slack : 0;
        double load = (double)counted / weight;
        if (best == TRIVET_NO_NODE || load < best_load) {
            best = node;
            best_load = load;
            least = running;
        }
    }
    self->start++;
    if (best == TRIVET_NO_NODE) return TRIVET_PASS; // the next strategy decides, or the fallback
    int n = snprintf(self->reason, sizeof self->reason, "least busy: %u running", least);
    out->node = best;
    out->reason = (trivet_str){self->reason, (size_t)n}; // lent until the next call into `self`
    return TRIVET_PICKED;
}

static const trivet_strategy strategy = {
    .size = sizeof(trivet_strategy),
    .name = TRIVET_STR_INIT("least-busy"),
    .summary = TRIVET_STR_INIT("the ready node with the fewest requests in flight for its weight"),
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .create = create,
    .destroy = destroy,
    .pick = pick,
};

static const trivet_strategy *const strategies[] = {&strategy, NULL};

static const trivet_plugin plugin = {
    .size = sizeof(trivet_plugin),
    .abi_minor = TRIVET_ABI_MINOR,
    .flags = TRIVET_PLUGIN_UNLOADABLE, // no Swift, no threads, nothing registered anywhere
    .name = TRIVET_STR_INIT("least-busy"),
    .version = TRIVET_STR_INIT("1.0.0"),
    .strategies = strategies,
};

const trivet_plugin *trivet_plugin_v1(const trivet_host *host, trivet_error *error) {
    (void)host;
    (void)error;
    return &plugin;
}
