// Has no use for what it saved itself.
#include "trivet_plugin.h"
static void save(void *self, trivet_sink *state);
static bool load(void *self, const trivet_pool *pool, uint32_t version, trivet_str state);
#define SAVE save
#define LOAD load
#include "strategy.h"
static void save(void *self, trivet_sink *state) {
    (void)self;
    state->write(state, TRIVET_STR("something"));
}
static bool load(void *self, const trivet_pool *pool, uint32_t version, trivet_str state) {
    (void)self, (void)pool, (void)version;
    return state.len > 100;
}
