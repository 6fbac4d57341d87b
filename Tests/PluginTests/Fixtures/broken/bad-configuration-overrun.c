// Writes its sentence without asking how much room there is.
#include "trivet_plugin.h"
static void *overrun(const trivet_strategy *strategy, const trivet_host *host,
                     const trivet_strategy_setup *setup, trivet_error *error);
#define CREATE overrun
#include "strategy.h"
static void *overrun(const trivet_strategy *table, const trivet_host *host,
                     const trivet_strategy_setup *setup, trivet_error *error) {
    (void)table;
    instance *self = make(host, setup, error);
    if (self == NULL) {
        const char *sentence = "option \"size\" must be a number from 1 to 1000";
        memcpy(error->data, sentence, strlen(sentence));
        error->len = strlen(sentence);
    }
    return self;
}
