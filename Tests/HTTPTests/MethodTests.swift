// Tests of methods and what may be sent twice.

import Testing

@testable import HTTP

@Suite("Methods")
struct MethodTests {
    @Test("a method is known by its exact name, so that another case is never taken for it")
    func recognition() {
        let names: [(String, Method)] = [
            ("GET", .get), ("HEAD", .head), ("POST", .post), ("PUT", .put), ("DELETE", .delete),
            ("CONNECT", .connect), ("OPTIONS", .options), ("TRACE", .trace), ("PATCH", .patch),
            ("get", .other), ("GETS", .other), ("M-SEARCH", .other), ("POSt", .other),
            ("X", .other),
        ]
        for (name, method) in names {
            let bytes = latin(name)
            #expect(Method(bytes.span, 0, bytes.count) == method, "\(name)")
        }
    }

    @Test("only what may be repeated is called idempotent, so that no order is placed twice")
    func idempotence() {
        let idempotent: Set<Method> = [.get, .head, .put, .delete, .options, .trace]
        let safe: Set<Method> = [.get, .head, .options, .trace]
        for raw in UInt8(0)...9 {
            guard let method = Method(rawValue: raw) else {
                Issue.record("no method \(raw)")
                continue
            }
            #expect(method.isIdempotent == idempotent.contains(method))
            #expect(method.isSafe == safe.contains(method))
        }
    }

    @Test("a length of 0 is no body, so that nothing waits for one")
    func bodies() {
        #expect(!BodyFraming.none.hasBody)
        #expect(!BodyFraming.length(0).hasBody)
        #expect(BodyFraming.length(1).hasBody)
        #expect(BodyFraming.chunked.hasBody)
        #expect(BodyFraming.untilClose.hasBody)
    }

    @Test("faults are told apart by status and sentence")
    func faults() {
        #expect(Fault(400, "a") == Fault(400, "a"))
        #expect(Fault(400, "a") != Fault(400, "b"))
        #expect(Fault(400, "a") != Fault(431, "a"))
        #expect(Fault(400, "a").asResponse == Fault(502, "a"))
    }
}
