// The texts of a new plugin in C: one file, a copy of the header, and a program that tests it.

extension NewPlugin {
    var cBuild: String {
        #"""
        #!/bin/sh
        # Builds the plugin into plugins/. Moved there whole, so that a running Trivet never finds half of it.
        set -eu
        cd "$(dirname "$0")"
        mkdir -p plugins
        ${CC:-cc} -std=c11 -O2 -Wall -Wextra -fPIC -shared -o plugins/.new \#(source)
        mv plugins/.new plugins/\#(library)

        """#
    }

    var cTestScript: String {
        #"""
        #!/bin/sh
        # Builds the plugin and runs tests.c on it.
        set -eu
        cd "$(dirname "$0")"
        ./build
        mkdir -p .build
        ${CC:-cc} -std=c11 -g -Wall -Wextra -o .build/tests tests.c -ldl
        .build/tests plugins/\#(library)

        """#
    }

    var cSource: String { kind == .strategy ? cStrategy : cCheck }

    private func cEntry(_ lists: String) -> String {
        #"""
        static const trivet_plugin plugin = {
            .size = sizeof(trivet_plugin),
            .abi_minor = TRIVET_ABI_MINOR,
            .flags = TRIVET_PLUGIN_UNLOADABLE, // no threads, nothing registered anywhere
            .name = TRIVET_STR_INIT("\#(name)"),
            .version = TRIVET_STR_INIT("0.1.0"),
            \#(lists)
        };

        // The entry that Trivet looks for.
        TRIVET_EXPORT const trivet_plugin *trivet_plugin_v1(const trivet_host *host, trivet_error *error) {
            (void)host, (void)error;
            return &plugin;
        }

        """#
    }

    /// Reads a whole number that may be absent.
    private var cWhole: String {
        #"""
        // A whole number from `least` to `most` at `pointer` of the configuration; false, and the sentence,
        // if something else is there. `number` keeps its value if nothing is.
        static bool whole(const trivet_host *host, trivet_str config, trivet_str pointer, uint32_t least,
                          uint32_t most, uint32_t *number, trivet_error *error, trivet_str sentence) {
            trivet_json value = host->json(host, config, pointer);
            if (value.kind == TRIVET_JSON_MISSING) return true;
            if (value.kind != TRIVET_JSON_NUMBER || value.number < least || value.number > most ||
                value.number != (double)(uint32_t)value.number) {
                trivet_error_set(error, sentence);
                return false;
            }
            *number = (uint32_t)value.number;
            return true;
        }
        """#
    }

    private var cStrategy: String {
        #"""
        // The strategy "\#(name)": which node gets a request. Trivet does everything else.
        //
        // Each ready node in its turn, so many requests in a row: strategy: { name: "\#(name)", run: 2 }

        #include "trivet_plugin.h"

        #include <stdlib.h>

        // One instance, of one worker and pool: never called by two threads at once.
        typedef struct instance {
            uint32_t run;
        } instance;

        static const trivet_option options[] = {
            {TRIVET_STR_INIT("run"), TRIVET_STR_INIT("requests in a row for one node (default 2)")},
        };

        \#(cWhole)

        static void *create(const trivet_strategy *strategy, const trivet_host *host,
                            const trivet_strategy_setup *setup, trivet_error *error) {
            (void)strategy;
            uint32_t run = 2;
            if (!whole(host, setup->config, TRIVET_STR("/run"), 1, 1000, &run, error,
                       TRIVET_STR("option \"run\" must be a whole number from 1 to 1000")))
                return NULL;
            instance *self = calloc(1, sizeof *self);
            if (self == NULL) {
                trivet_error_set(error, TRIVET_STR("out of memory"));
                return NULL;
            }
            self->run = run;
            return self;
        }

        static void destroy(void *self) { free(self); }

        static bool was_tried(const trivet_request *request, uint32_t node) {
            for (uint32_t i = 0; i < request->tried_count; i++)
                if (request->tried[i] == node) return true;
            return false;
        }

        // For every request, between two events of a worker: nothing that blocks or allocates.
        static trivet_decision pick(void *me, const trivet_pool *pool, const trivet_request *request,
                                    trivet_pick *out) {
            const instance *self = me;
            if (pool->ready_count == 0) return TRIVET_PASS;
            // All workers draw from the same tickets, and so take turns together.
            uint64_t turn = pool->ticket(pool) / self->run;
            for (uint32_t step = 0; step < pool->ready_count; step++) {
                uint32_t node = pool->ready[(turn + step) % pool->ready_count];
                if (was_tried(request, node)) continue;
                out->node = node;
                out->reason = TRIVET_STR("its turn");
                return TRIVET_PICKED;
            }
            return TRIVET_PASS;
        }

        static const trivet_strategy strategy = {
            .size = sizeof(trivet_strategy),
            .name = TRIVET_STR_INIT("\#(name)"),
            .summary = TRIVET_STR_INIT("each ready node in its turn, some requests in a row"),
            .options = options,
            .option_count = sizeof options / sizeof options[0],
            .create = create,
            .destroy = destroy,
            .pick = pick,
        };

        static const trivet_strategy *const strategies[] = {&strategy, NULL};

        \#(cEntry(".strategies = strategies,"))
        """#
    }

    private var cCheck: String {
        #"""
        // The health check "\#(name)": what to ask a node, and what its answer means. Trivet asks, on its
        // schedule, and counts how often in a row an answer has to come (rise, fall).
        //
        // Asks for a path: health: { check: "\#(name)", path: "/healthz", draining: 503 }

        #include "trivet_plugin.h"

        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>

        // One instance, of one pool: never called by two threads at once.
        typedef struct instance {
            char path[1024];
            size_t path_length;
            uint32_t draining;
            char reason[128]; // lent to Trivet until the next call
        } instance;

        static const trivet_option options[] = {
            {TRIVET_STR_INIT("path"), TRIVET_STR_INIT("what to ask for (default /)")},
            {TRIVET_STR_INIT("draining"),
             TRIVET_STR_INIT("status of a node that takes no new requests (default 503)")},
        };

        \#(cWhole)

        static bool is_path(trivet_json value) {
            if (value.kind != TRIVET_JSON_STRING || value.text.len == 0 || value.text.len > 1024 ||
                value.text.data[0] != '/')
                return false;
            for (size_t i = 0; i < value.text.len; i++)
                if (value.text.data[i] <= ' ' || value.text.data[i] >= 0x7F || value.text.data[i] == '#')
                    return false;
            return true;
        }

        static void *create(const trivet_check *check, const trivet_host *host,
                            const trivet_check_setup *setup, trivet_error *error) {
            (void)check;
            uint32_t draining = 503;
            if (!whole(host, setup->config, TRIVET_STR("/draining"), 300, 599, &draining, error,
                       TRIVET_STR("option \"draining\" must be a whole number from 300 to 599")))
                return NULL;
            trivet_json path = host->json(host, setup->config, TRIVET_STR("/path"));
            if (path.kind == TRIVET_JSON_MISSING) {
                path.kind = TRIVET_JSON_STRING;
                path.text = TRIVET_STR("/");
            }
            if (!is_path(path)) {
                trivet_error_set(error, TRIVET_STR("option \"path\" must be a path that begins with \"/\" "
                                                   "and has no space in it"));
                return NULL;
            }
            instance *self = calloc(1, sizeof *self);
            if (self == NULL) {
                trivet_error_set(error, TRIVET_STR("out of memory"));
                return NULL;
            }
            memcpy(self->path, path.text.data, path.text.len); // lent for this call only
            self->path_length = path.text.len;
            self->draining = draining;
            return self;
        }

        static void destroy(void *self) { free(self); }

        static bool probe(void *me, const trivet_node *node, uint32_t step, trivet_probe *out) {
            (void)node, (void)step;
            const instance *self = me;
            out->kind = TRIVET_PROBE_HTTP;
            out->target = (trivet_str){self->path, self->path_length};
            return true;
        }

        // In a few words, into the room of the instance.
        static trivet_str answered(instance *self, uint32_t status) {
            int n = snprintf(self->reason, sizeof self->reason, "answered %u", (unsigned)status);
            return (trivet_str){self->reason, (size_t)n};
        }

        static trivet_str failure(instance *self, trivet_str detail) {
            if (detail.len == 0) return TRIVET_STR("did not answer");
            if (detail.len > sizeof self->reason) detail.len = sizeof self->reason;
            memcpy(self->reason, detail.data, detail.len);
            return (trivet_str){self->reason, detail.len};
        }

        static trivet_round judge(void *me, const trivet_node *node, const trivet_reply *reply,
                                  trivet_verdict *out) {
            (void)node;
            instance *self = me;
            if (reply->outcome != TRIVET_OK) {
                out->state = TRIVET_DOWN;
                out->reason = failure(self, reply->detail);
            } else if (reply->status == self->draining) {
                out->state = TRIVET_DRAINING;
                out->at_once = 1; // the node itself says so: no need to hear it twice
                out->reason = TRIVET_STR("says that it drains");
            } else {
                bool is_good = reply->status >= 200 && reply->status <= 299;
                out->state = is_good ? TRIVET_UP : TRIVET_DOWN;
                out->reason = answered(self, reply->status);
            }
            return TRIVET_ROUND_DONE;
        }

        static const trivet_check check = {
            .size = sizeof(trivet_check),
            .name = TRIVET_STR_INIT("\#(name)"),
            .summary = TRIVET_STR_INIT("asks for a path; one status means that the node drains"),
            .options = options,
            .option_count = sizeof options / sizeof options[0],
            .create = create,
            .destroy = destroy,
            .probe = probe,
            .judge = judge,
        };

        static const trivet_check *const checks[] = {&check, NULL};

        \#(cEntry(".checks = checks,"))
        """#
    }
}
