// `trivet check`: everything that is wrong with a configuration, without serving.

enum CheckCommand {
    static func run(_ words: Words) throws(Failure) -> Int32 {
        let (_, configuration) = try ConfigurationFile.read(words.operands[0])
        var complaints = try PluginReview(configuration).complaints
        do throws(Failure) {
            _ = try Identity(of: configuration)
        } catch {
            complaints += error.sentences
        }
        if !complaints.isEmpty { throw .input(complaints) }
        let nodes = configuration.pools.reduce(0) { $0 + $1.nodes.count }
        say(
            "\(configuration.file) is good: \(count(configuration.listeners.count, "listener")), "
                + "\(count(configuration.pools.count, "pool")), \(count(nodes, "node"))")
        return 0
    }

    private static func count(_ number: Int, _ thing: String) -> String {
        "\(number) \(thing)\(number == 1 ? "" : "s")"
    }
}
