// What a pick costs through the ABI: nanoseconds and instructions of every strategy that a file offers,
// at 3, 100 and 10,000 nodes. A host of the smallest kind: it lends a pool, asks, and counts. Built and
// run by Tests/Bench/picks; CPU time of this thread, and the processor's own count of instructions
// where the system lets it be read. Where not, callgrind counts what happens inside `counted`.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "trivet_plugin.h"

enum { warm_up = 2000, rounds = 5, clients = 1024 };

static uint64_t now_ns = 1000000000, dice = 1, tickets;

static void host_log(const trivet_host *host, trivet_log_level level, trivet_str line) {
    (void)host, (void)level, (void)line;
}
static uint64_t host_now(const trivet_host *host) { return (void)host, now_ns; }
static uint64_t host_random(const trivet_host *host) {  // SplitMix64
    (void)host;
    uint64_t z = (dice += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}
static trivet_metric host_metric(const trivet_host *host, trivet_metric_kind kind, trivet_str name,
                                 trivet_str help) {
    return (void)host, (void)kind, (void)name, (void)help, 0;
}
static void host_add(const trivet_host *host, trivet_metric metric, double amount) {
    (void)host, (void)metric, (void)amount;
}
static trivet_json host_json(const trivet_host *host, trivet_str document, trivet_str pointer) {
    (void)host, (void)document, (void)pointer;
    return (trivet_json){0};
}
static uint64_t pool_ticket(const trivet_pool *pool) { return (void)pool, tickets++; }
static bool no_header(const trivet_request *r, trivet_str name, uint32_t n, trivet_str *value) {
    return (void)r, (void)name, (void)n, (void)value, false;
}

static const trivet_host host = {
    .size = sizeof host, .abi_minor = TRIVET_ABI_MINOR, .log = host_log, .now = host_now,
    .random = host_random, .metric = host_metric, .metric_add = host_add, .json = host_json};

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// -1: the system does not let it be read.
static int instruction_counter(void) {
    struct perf_event_attr what = {
        .type = PERF_TYPE_HARDWARE, .size = sizeof what, .config = PERF_COUNT_HW_INSTRUCTIONS,
        .exclude_kernel = 1, .exclude_hv = 1};
    return (int)syscall(SYS_perf_event_open, &what, 0, -1, -1, 0);
}
static uint64_t instructions(int counter) {
    uint64_t count = 0;
    if (counter < 0 || read(counter, &count, sizeof count) != sizeof count) return 0;
    return count;
}

typedef struct {
    trivet_pool pool;
    trivet_node *nodes;
    trivet_load *loads;
    uint32_t *ready;
    char (*texts)[32];
} ground;

static ground make_ground(uint32_t count) {
    ground g = {.nodes = calloc(count, sizeof *g.nodes), .loads = calloc(count, sizeof *g.loads),
                .ready = calloc(count, sizeof *g.ready), .texts = calloc(count, 32)};
    for (uint32_t i = 0; i < count; i++) {
        int n = snprintf(g.texts[i], 32, "10.%u.%u.%u:80", i >> 16 & 255, i >> 8 & 255, i & 255);
        g.nodes[i] = (trivet_node){.id = host_random(&host), .name = {g.texts[i], (size_t)n},
                                   .address = {g.texts[i], (size_t)n}, .weight = 1 + i % 3};
        g.loads[i] = (trivet_load){.in_flight = i % 5, .in_flight_all = i % 7,
                                   .latency_ns = 1000000 + i % 11 * 1000};
        g.ready[i] = i;
    }
    g.pool = (trivet_pool){.size = sizeof g.pool, .node_count = count,
                           .node_stride = sizeof *g.nodes, .load_stride = sizeof *g.loads,
                           .ready_count = count, .nodes = g.nodes, .load = g.loads,
                           .ready = g.ready, .seed = 42, .name = TRIVET_STR("bench"),
                           .ticket = pool_ticket};
    return g;
}

// Every client comes from an address and with a key of its own; a thousand of them take turns.
static char addresses[clients][16];
static trivet_request requests[clients];

static void make_requests(uint32_t nodes) {
    for (int i = 0; i < clients; i++) {
        int n = snprintf(addresses[i], 16, "192.0.%d.%d", i >> 8, i & 255);
        requests[i] = (trivet_request){
            .size = sizeof requests[i], .hash = host_random(&host), .method = TRIVET_STR("GET"),
            .target = TRIVET_STR("/"), .authority = TRIVET_STR("example.com"),
            .client = {addresses[i], (size_t)n}, .session_node = (uint32_t)i % nodes,
            .header = no_header};
    }
}

static void ask(const trivet_strategy *s, void *self, const trivet_pool *pool, int times) {
    for (int i = 0; i < times; i++) {
        trivet_pick out = {.node = TRIVET_NO_NODE};
        now_ns += 10000;
        trivet_decision d = s->pick(self, pool, &requests[i % clients], &out);
        if (d == TRIVET_PICKED && out.node >= pool->node_count) {
            fprintf(stderr, "a pick is out of range\n");
            exit(1);
        }
    }
}

// What valgrind --tool=callgrind --toggle-collect=counted is to look at.
__attribute__((noinline)) void counted(const trivet_strategy *s, void *self,
                                       const trivet_pool *pool, int times) {
    ask(s, self, pool, times);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// `only`: so many picks for callgrind, and no other measurement; 0: measure.
static void measure(const trivet_strategy *s, uint32_t count, int counter, int only) {
    ground g = make_ground(count);
    make_requests(count);
    char words[256];
    trivet_error error = {.data = words, .capacity = sizeof words};
    trivet_strategy_setup setup = {.size = sizeof setup, .worker_count = 1,
                                   .config = TRIVET_STR("{}"), .pool = &g.pool};
    uint64_t begin = cpu_ns();
    void *self = s->create(s, &host, &setup, &error);
    double created = (double)(cpu_ns() - begin) / 1e3;
    if (!self) {
        printf("  %7u   refuses: %.*s\n", count, (int)error.len, words);
        return;
    }
    ask(s, self, &g.pool, only ? 200 : warm_up);
    if (only) {
        counted(s, self, &g.pool, only);
        return;
    }
    // About a tenth of a second each, whatever it costs.
    begin = cpu_ns();
    ask(s, self, &g.pool, warm_up);
    double one = (double)(cpu_ns() - begin) / warm_up;
    int times = one * 1e5 > 1e8 ? (int)(1e8 / one) : 100000;
    if (times < 200) times = 200;
    double ns[rounds], count_of[rounds];
    for (int r = 0; r < rounds; r++) {
        uint64_t before = instructions(counter), start = cpu_ns();
        ask(s, self, &g.pool, times);
        ns[r] = (double)(cpu_ns() - start) / times;
        count_of[r] = (double)(instructions(counter) - before) / times;
    }
    qsort(ns, rounds, sizeof *ns, compare);
    qsort(count_of, rounds, sizeof *count_of, compare);
    char shown[32] = "-";
    if (counter >= 0) snprintf(shown, sizeof shown, "%.0f", count_of[rounds / 2]);
    printf("  %7u  %10.1f  %12s  %12.1f\n", count, ns[rounds / 2], shown, created);
    s->destroy(self);
    free(g.nodes), free(g.loads), free(g.ready), free(g.texts);
}

int main(int argc, char **argv) {
    // --count PICKS NODES FILE: for callgrind.
    int only = argc > 4 && !strcmp(argv[1], "--count") ? atoi(argv[2]) : 0;
    int counter = instruction_counter();
    if (counter < 0 && !only && argc > 1) {
        printf("the processor's counters cannot be read here\n");
    }
    for (int i = only ? 4 : 1; i < argc; i++) {
        void *library = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
        if (!library) return fprintf(stderr, "%s\n", dlerror()), 1;
        const trivet_plugin *(*entry)(const trivet_host *, trivet_error *) =
            (const trivet_plugin *(*)(const trivet_host *, trivet_error *))dlsym(
                library, TRIVET_PLUGIN_ENTRY);
        char words[256];
        trivet_error error = {.data = words, .capacity = sizeof words};
        const trivet_plugin *plugin = entry ? entry(&host, &error) : NULL;
        if (!plugin) return fprintf(stderr, "%s is no plugin\n", argv[i]), 1;
        for (size_t k = 0; plugin->strategies && plugin->strategies[k]; k++) {
            const trivet_strategy *s = plugin->strategies[k];
            if (only) {
                measure(s, (uint32_t)atoi(argv[3]), counter, only);
                continue;
            }
            printf("%.*s\n  %7s  %10s  %12s  %12s\n", (int)s->name.len, s->name.data, "nodes",
                   "ns a pick", "instructions", "create, us");
            measure(s, 3, counter, 0);
            measure(s, 100, counter, 0);
            measure(s, 10000, counter, 0);
        }
    }
    return 0;
}
