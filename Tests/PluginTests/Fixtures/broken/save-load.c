// Believes the count at the beginning of a state that it loads.
#include "trivet_plugin.h"
static void save(void *self, trivet_sink *state);
static bool load(void *self, const trivet_pool *pool, uint32_t version, trivet_str state);
#define SAVE save
#define LOAD load
#include "strategy.h"
static void save(void *me, trivet_sink *state) {
    (void)me;
    uint32_t words[5] = {4, 1, 2, 3, 4};
    state->write(state, (trivet_str){(const char *)words, sizeof words});
}
static bool load(void *me, const trivet_pool *pool, uint32_t version, trivet_str state) {
    instance *self = me;
    (void)pool, (void)version;
    if (state.len < 4) return false;
    uint32_t count, word;
    memcpy(&count, state.data, 4);
    for (uint32_t i = 1; i <= count; i++) {
        memcpy(&word, state.data + (size_t)i * 4, 4);
        self->picks += word;
    }
    return true;
}
