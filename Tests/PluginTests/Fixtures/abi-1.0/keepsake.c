// A plugin of ABI 1.0 that uses all of it: every function of the host, every field of what is lent, every
// function of both tables. `libkeepsake-x86_64.so` beside it was built from this file with the header as
// it was in 1.0, and every Trivet of major version 1 has to load it. Neither is ever changed: what comes
// after 1.0 gets a fixture of its own. `build` has the command.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trivet_plugin.h"

typedef struct keepsake {
    const trivet_host *host;
    trivet_metric counted;
    uint64_t picks;
    uint64_t token;
    uint32_t changes;
    uint32_t results;
    uint32_t first; // option: where turns begin
    char reason[64];
    char session[64];
} keepsake;

static const trivet_option options[] = {
    {TRIVET_STR_INIT("first"), TRIVET_STR_INIT("where turns begin (default 0)")},
};

static void *create(const trivet_strategy *strategy, const trivet_host *host,
                    const trivet_strategy_setup *setup, trivet_error *error) {
    trivet_json first = host->json(host, setup->config, TRIVET_STR("/first"));
    if (first.kind != TRIVET_JSON_MISSING && first.kind != TRIVET_JSON_NUMBER) {
        trivet_error_set(error, TRIVET_STR("option \"first\" must be a number"));
        return NULL;
    }
    keepsake *self = calloc(1, sizeof *self);
    self->host = host;
    self->first = first.kind == TRIVET_JSON_NUMBER ? (uint32_t)first.number : 0;
    self->counted = host->metric(host, TRIVET_COUNTER, TRIVET_STR("picks_total"),
                                 TRIVET_STR("picks of the keepsake"));
    char line[128];
    int n = snprintf(line, sizeof line, "worker %u of %u, %u nodes, data %s", setup->worker,
                     setup->worker_count, setup->pool->node_count, (const char *)strategy->data);
    host->log(host, TRIVET_LOG_INFO, (trivet_str){line, (size_t)n});
    return self;
}

static void destroy(void *self) { free(self); }

static bool same(trivet_str a, trivet_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static bool was_tried(const trivet_request *request, uint32_t node) {
    for (uint32_t i = 0; i < request->tried_count; i++)
        if (request->tried[i] == node) return true;
    return false;
}

static trivet_decision picked(keepsake *self, const trivet_pool *pool, uint32_t node,
                              const char *why, trivet_pick *out) {
    const trivet_node *chosen = trivet_node_at(pool, node);
    self->picks++;
    self->host->metric_add(self->host, self->counted, 1);
    int n = snprintf(self->reason, sizeof self->reason, "%s: %.*s has %u running", why,
                     (int)chosen->name.len, chosen->name.data,
                     trivet_load_at(pool, node)->in_flight_all);
    out->node = node;
    out->token = self->picks;
    out->reason = (trivet_str){self->reason, (size_t)n};
    return TRIVET_PICKED;
}

static trivet_decision pick(void *me, const trivet_pool *pool, const trivet_request *request,
                            trivet_pick *out) {
    keepsake *self = me;
    if (same(request->target, TRIVET_STR("/refuse"))) {
        out->reason = TRIVET_STR("it was asked to");
        return TRIVET_REFUSE;
    }
    if (request->session_node != TRIVET_NO_NODE &&
        trivet_node_at(pool, request->session_node)->state <= TRIVET_DRAINING &&
        !was_tried(request, request->session_node)) {
        out->flags = TRIVET_PICK_STICK;
        return picked(self, pool, request->session_node, "session", out);
    }
    trivet_str zone;
    if (request->header(request, TRIVET_STR("X-Zone"), 0, &zone)) {
        for (uint32_t i = 0; i < pool->ready_count; i++) {
            const trivet_node *node = trivet_node_at(pool, pool->ready[i]);
            for (uint32_t m = 0; m < node->metadata_count; m++) {
                if (!same(node->metadata[m].key, TRIVET_STR("zone"))) continue;
                if (!same(node->metadata[m].value, zone)) continue;
                int n = snprintf(self->session, sizeof self->session, "zone=%.*s", (int)zone.len,
                                 zone.data);
                out->session = (trivet_str){self->session, (size_t)n};
                return picked(self, pool, pool->ready[i], "zone", out);
            }
        }
        return TRIVET_PASS;
    }
    uint64_t turn = pool->ticket(pool) + self->first;
    for (uint32_t step = 0; step < pool->ready_count; step++) {
        uint32_t node = pool->ready[(turn + step) % pool->ready_count];
        if (!was_tried(request, node)) return picked(self, pool, node, "turn", out);
    }
    return TRIVET_PASS;
}

static void update(void *me, const trivet_pool *pool, uint32_t changed) {
    (void)pool;
    ((keepsake *)me)->changes |= changed;
}

static void result(void *me, const trivet_pool *pool, const trivet_result *result) {
    (void)pool;
    keepsake *self = me;
    self->results++;
    self->token = result->token;
}

static void save(void *me, trivet_sink *state) {
    keepsake *self = me;
    state->write(state, (trivet_str){(const char *)&self->picks, sizeof self->picks});
}

static bool load(void *me, const trivet_pool *pool, uint32_t version, trivet_str state) {
    (void)pool;
    keepsake *self = me;
    if (version != 3 || state.len != sizeof self->picks) return false;
    memcpy(&self->picks, state.data, sizeof self->picks);
    return true;
}

static void describe(void *me, const trivet_pool *pool, trivet_sink *json) {
    keepsake *self = me;
    char text[256];
    int n = snprintf(text, sizeof text,
                     "{\"picks\":%llu,\"changes\":%u,\"results\":%u,\"token\":%llu,\"now\":%llu,"
                     "\"random\":%d,\"seed\":%llu}",
                     (unsigned long long)self->picks, self->changes, self->results,
                     (unsigned long long)self->token,
                     (unsigned long long)self->host->now(self->host),
                     self->host->random(self->host) != self->host->random(self->host),
                     (unsigned long long)pool->seed);
    json->write(json, (trivet_str){text, (size_t)n});
}

static const trivet_strategy strategy = {
    .size = sizeof(trivet_strategy),
    .name = TRIVET_STR_INIT("keepsake"),
    .summary = TRIVET_STR_INIT("a strategy of ABI 1.0"),
    .state_version = 3,
    .options = options,
    .option_count = 1,
    .data = "kept",
    .create = create,
    .destroy = destroy,
    .pick = pick,
    .update = update,
    .result = result,
    .save = save,
    .load = load,
    .describe = describe,
};

// The check: asks over HTTP, and once more over TCP if it is told to wait.

typedef struct asker {
    const trivet_host *host;
    char weight[24];
    trivet_pair metadata[1];
} asker;

static void *check_create(const trivet_check *check, const trivet_host *host,
                          const trivet_check_setup *setup, trivet_error *error) {
    (void)check;
    if (same(setup->config, TRIVET_STR("{\"refuse\":true}"))) {
        trivet_error_set(error, TRIVET_STR("it was asked to"));
        return NULL;
    }
    asker *self = calloc(1, sizeof *self);
    self->host = host;
    return self;
}

static const trivet_pair headers[] = {{TRIVET_STR_INIT("X-Probe"), TRIVET_STR_INIT("1.0")}};

static bool check_probe(void *me, const trivet_node *node, uint32_t step, trivet_probe *out) {
    (void)me;
    if (node->tier > 0) return false;
    if (step > 0) {
        out->kind = TRIVET_PROBE_TCP;
        out->payload = TRIVET_STR("ready?\n");
        out->read_until = TRIVET_STR("\n");
        out->port = 9999;
        return true;
    }
    out->kind = TRIVET_PROBE_HTTP;
    out->target = TRIVET_STR("/status");
    out->headers = headers;
    out->header_count = 1;
    out->timeout_ms = 250;
    out->read_limit = 4096;
    return true;
}

static trivet_round check_judge(void *me, const trivet_node *node, const trivet_reply *reply,
                                trivet_verdict *out) {
    (void)node;
    asker *self = me;
    if (reply->outcome != TRIVET_OK) {
        out->state = TRIVET_DOWN;
        out->reason = reply->detail;
        return TRIVET_ROUND_DONE;
    }
    if (reply->status == 202) return TRIVET_ROUND_NEXT;
    if (reply->status == 418) {
        out->state = TRIVET_DRAINING;
        out->at_once = 1;
        out->next_ms = 500;
        out->reason = TRIVET_STR("drains");
        return TRIVET_ROUND_DONE;
    }
    trivet_json weight = self->host->json(self->host, reply->body, TRIVET_STR("/weight"));
    if (weight.kind == TRIVET_JSON_NUMBER) {
        out->weight_percent = (uint32_t)weight.number;
        int n = snprintf(self->weight, sizeof self->weight, "%u", out->weight_percent);
        self->metadata[0] = (trivet_pair){TRIVET_STR("weight"), {self->weight, (size_t)n}};
        out->metadata = self->metadata;
        out->metadata_count = 1;
    }
    out->state = TRIVET_UP;
    out->reason = TRIVET_STR("answers");
    return TRIVET_ROUND_DONE;
}

static const trivet_check check = {
    .size = sizeof(trivet_check),
    .name = TRIVET_STR_INIT("keepsake"),
    .summary = TRIVET_STR_INIT("a check of ABI 1.0"),
    .create = check_create,
    .destroy = destroy,
    .probe = check_probe,
    .judge = check_judge,
};

static const trivet_strategy *const strategies[] = {&strategy, NULL};
static const trivet_check *const checks[] = {&check, NULL};

static const trivet_plugin plugin = {
    .size = sizeof(trivet_plugin),
    .abi_minor = 0,
    .name = TRIVET_STR_INIT("keepsake"),
    .version = TRIVET_STR_INIT("1.0.0"),
    .strategies = strategies,
    .checks = checks,
};

TRIVET_EXPORT const trivet_plugin *trivet_plugin_v1(const trivet_host *host, trivet_error *error) {
    (void)error;
    host->log(host, TRIVET_LOG_DEBUG, TRIVET_STR("entered"));
    return &plugin;
}
