// The program that tests a new plugin in C: loads it, stands in for Trivet, and looks at what it says.

extension NewPlugin {
    var cTests: String { kind == .strategy ? cStrategyTests : cCheckTests }

    private var cOpening: String {
        #"""
        // Loads the plugin and drives it the way Trivet does. No network, no waiting.

        #define _POSIX_C_SOURCE 200809L

        #include "trivet_plugin.h"

        #include <dlfcn.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>

        static int failures;

        #define EXPECT(condition)                                                           \
            do {                                                                            \
                if (!(condition)) {                                                         \
                    failures++;                                                             \
                    fprintf(stderr, "tests.c:%d: not so: %s\n", __LINE__, #condition);      \
                }                                                                           \
            } while (0)

        // The configuration, as a plugin asks for it: one option that is there, or none.
        static const char *option_name;
        static trivet_json option_value;

        static trivet_json json(const trivet_host *host, trivet_str document, trivet_str pointer) {
            (void)host, (void)document;
            bool is_it = option_name && strlen(option_name) == pointer.len &&
                         memcmp(option_name, pointer.data, pointer.len) == 0;
            return is_it ? option_value : (trivet_json){0};
        }

        static void set_number(const char *pointer, double number) {
            option_name = pointer;
            option_value = (trivet_json){.kind = TRIVET_JSON_NUMBER, .number = number};
        }

        static const trivet_host host = {.size = sizeof(trivet_host), .json = json};
        static char room[512];
        static trivet_error error;

        static const trivet_plugin *load(const char *path) {
            void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
            void *symbol = library ? dlsym(library, TRIVET_PLUGIN_ENTRY) : NULL;
            if (symbol == NULL) {
                fprintf(stderr, "%s\n", dlerror());
                exit(1);
            }
            const trivet_plugin *(*entry)(const trivet_host *, trivet_error *);
            memcpy(&entry, &symbol, sizeof entry);
            return entry(&host, &error);
        }

        static int end(void) {
            if (failures == 0) puts("all is well");
            return failures > 0;
        }
        """#
    }

    private var cStrategyTests: String {
        #"""
        \#(cOpening)

        static uint64_t next_ticket;

        static uint64_t ticket(const trivet_pool *pool) {
            (void)pool;
            return next_ticket++;
        }

        static trivet_node nodes[3];
        static const trivet_load loads[3];
        static uint32_t ready[3] = {0, 1, 2};
        static trivet_pool pool = {
            .size = sizeof(trivet_pool), .node_count = 3, .node_stride = sizeof(trivet_node),
            .load_stride = sizeof(trivet_load), .ready_count = 3, .nodes = nodes, .load = loads,
            .ready = ready, .ticket = ticket,
        };

        static const trivet_strategy *strategy;

        static void *make(void) {
            trivet_strategy_setup setup = {
                .size = sizeof setup, .worker_count = 1, .config = TRIVET_STR("{}"), .pool = &pool};
            error = (trivet_error){room, sizeof room, 0};
            return strategy->create(strategy, &host, &setup, &error);
        }

        static trivet_decision pick(void *self, const uint32_t *tried, uint32_t count, uint32_t *node) {
            trivet_request request = {.size = sizeof request, .session_node = TRIVET_NO_NODE,
                                      .attempt = count, .tried = tried, .tried_count = count};
            trivet_pick out = {.node = TRIVET_NO_NODE};
            trivet_decision decision = strategy->pick(self, &pool, &request, &out);
            *node = out.node;
            return decision;
        }

        int main(int count, char **words) {
            const trivet_plugin *plugin = load(count > 1 ? words[1] : "plugins/\#(library)");
            strategy = plugin->strategies[0];
            uint32_t node;

            // Each node gets its requests in a row.
            set_number("/run", 2);
            void *self = make();
            EXPECT(self != NULL);
            for (uint32_t i = 0; i < 12; i++) {
                EXPECT(pick(self, NULL, 0, &node) == TRIVET_PICKED);
                EXPECT(node == i / 2 % 3);
            }

            // A retry goes to a node that was not tried.
            EXPECT(pick(self, (uint32_t[]){0, 1}, 2, &node) == TRIVET_PICKED && node == 2);
            EXPECT(pick(self, (uint32_t[]){0, 1, 2}, 3, &node) == TRIVET_PASS);

            // Only ready nodes get a turn; no node means no opinion.
            pool.ready_count = 1;
            ready[0] = 2;
            for (int i = 0; i < 4; i++) EXPECT(pick(self, NULL, 0, &node) == TRIVET_PICKED && node == 2);
            pool.ready_count = 0;
            EXPECT(pick(self, NULL, 0, &node) == TRIVET_PASS);
            strategy->destroy(self);

            // A wrong option is refused in a sentence.
            set_number("/run", 0);
            EXPECT(make() == NULL && error.len > 0);
            return end();
        }

        """#
    }

    private var cCheckTests: String {
        #"""
        \#(cOpening)

        static const trivet_check *check;
        static const trivet_node node = {.name = TRIVET_STR_INIT("node1"), .weight = 1};

        static void *make(void) {
            trivet_check_setup setup = {.size = sizeof setup, .config = TRIVET_STR("{}")};
            error = (trivet_error){room, sizeof room, 0};
            return check->create(check, &host, &setup, &error);
        }

        static bool asks_for(void *self, const char *path) {
            trivet_probe probe = {.size = sizeof probe, .target = TRIVET_STR("/")};
            return check->probe(self, &node, 0, &probe) && probe.kind == TRIVET_PROBE_HTTP &&
                   probe.target.len == strlen(path) &&
                   memcmp(probe.target.data, path, probe.target.len) == 0;
        }

        static trivet_verdict judge(void *self, trivet_outcome outcome, uint32_t status) {
            trivet_reply reply = {.size = sizeof reply, .outcome = outcome, .status = status};
            trivet_verdict verdict = {
                .size = sizeof verdict, .state = TRIVET_UP, .weight_percent = TRIVET_KEEP};
            EXPECT(check->judge(self, &node, &reply, &verdict) == TRIVET_ROUND_DONE);
            EXPECT(verdict.reason.len > 0);
            return verdict;
        }

        int main(int count, char **words) {
            const trivet_plugin *plugin = load(count > 1 ? words[1] : "plugins/\#(library)");
            check = plugin->checks[0];

            // It asks for the path it is told.
            option_name = "/path";
            option_value = (trivet_json){.kind = TRIVET_JSON_STRING, .text = TRIVET_STR("/healthz")};
            void *self = make();
            EXPECT(self != NULL);
            EXPECT(asks_for(self, "/healthz"));
            check->destroy(self);

            // The status decides.
            set_number("/draining", 418);
            self = make();
            EXPECT(self != NULL);
            EXPECT(asks_for(self, "/"));
            EXPECT(judge(self, TRIVET_OK, 204).state == TRIVET_UP);
            EXPECT(judge(self, TRIVET_OK, 418).state == TRIVET_DRAINING);
            EXPECT(judge(self, TRIVET_OK, 418).at_once);
            EXPECT(judge(self, TRIVET_OK, 503).state == TRIVET_DOWN);
            EXPECT(judge(self, TRIVET_CONNECT_FAILED, 0).state == TRIVET_DOWN);
            check->destroy(self);

            // A wrong option is refused in a sentence.
            set_number("/draining", 200);
            EXPECT(make() == NULL && error.len > 0);
            option_name = "/path";
            option_value = (trivet_json){.kind = TRIVET_JSON_STRING, .text = TRIVET_STR("healthz")};
            EXPECT(make() == NULL && error.len > 0);
            return end();
        }

        """#
    }
}
