// `trivet check`: everything that is wrong with a configuration, without serving.

import Config
import Net
import Proxy

enum CheckCommand {
    static func run(_ words: Words) throws(Failure) -> Int32 {
        let path = words.operands[0]
        let bytes = try readFile(path, what: "the configuration")
        let review = try PluginReview(ConfigurationParser.read(bytes, file: path))
        var complaints = review.complaints
        if let draft = review.draft {
            do throws(Failure) {
                let (wrong, notices) = try Keyring.read(for: draft).review(draft)
                complaints += wrong
                for line in notices { complain("warning: \(line)") }
            } catch {
                complaints += error.sentences
            }
        }
        guard complaints.isEmpty, let configuration = review.draft else {
            throw .input(complaints)
        }
        // What `trivet run` would have, started from here.
        Descriptors.raise(for: configuration.descriptorsWanted)
        let limit = Descriptors.limit
        let room = DescriptorPlan(limit: limit, own: Descriptors.inUse()).clients
        for line in configuration.warnings(room: room, descriptors: limit) {
            complain("warning: \(line)")
        }
        if words.options["--expand"] != nil {
            say("// \(path), written out.")
            say(ConfigurationParser.expanded(bytes, file: path) ?? "")
            return 0
        }
        let nodes = configuration.pools.reduce(0) { $0 + $1.nodes.count }
        say(
            "\(path) is good: \(count(configuration.listeners.count, "listener")), "
                + "\(count(configuration.pools.count, "pool")), \(count(nodes, "node"))")
        return 0
    }

    private static func count(_ number: Int, _ thing: String) -> String {
        "\(number) \(thing)\(number == 1 ? "" : "s")"
    }
}
