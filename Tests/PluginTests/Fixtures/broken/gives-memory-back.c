// Lets go of itself, but not of what it holds.
#include "trivet_plugin.h"
static void *hold(const trivet_strategy *strategy, const trivet_host *host,
                  const trivet_strategy_setup *setup, trivet_error *error);
static void drop(void *self);
#define CREATE hold
#define DESTROY drop
#include "strategy.h"
static void *hold(const trivet_strategy *table, const trivet_host *host,
                  const trivet_strategy_setup *setup, trivet_error *error) {
    (void)table;
    instance *self = make(host, setup, error);
    if (self != NULL) self->weights = calloc(32, sizeof(uint32_t));
    return self;
}
static void drop(void *self) { free(self); }
