// Writes names into JSON as they are.
#include "trivet_plugin.h"
static void describe(void *self, const trivet_pool *pool, trivet_sink *json);
#define DESCRIBE describe
#include "strategy.h"
static void describe(void *self, const trivet_pool *pool, trivet_sink *json) {
    (void)self;
    json->write(json, TRIVET_STR("{\"nodes\":["));
    for (uint32_t i = 0; i < pool->node_count; i++) {
        json->write(json, i > 0 ? TRIVET_STR(",\"") : TRIVET_STR("\""));
        json->write(json, trivet_node_at(pool, i)->name);
        json->write(json, TRIVET_STR("\""));
    }
    json->write(json, TRIVET_STR("]}"));
}
