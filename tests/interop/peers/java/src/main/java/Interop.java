import com.sun.net.httpserver.HttpServer;
import java.io.FileWriter;
import java.net.InetSocketAddress;
import java.security.KeyPair;
import java.security.Security;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.shredzone.acme4j.Account;
import org.shredzone.acme4j.AccountBuilder;
import org.shredzone.acme4j.Authorization;
import org.shredzone.acme4j.Certificate;
import org.shredzone.acme4j.Order;
import org.shredzone.acme4j.OrderBuilder;
import org.shredzone.acme4j.RenewalInfo;
import org.shredzone.acme4j.RevocationReason;
import org.shredzone.acme4j.Session;
import org.shredzone.acme4j.Status;
import org.shredzone.acme4j.challenge.Http01Challenge;
import org.shredzone.acme4j.util.KeyPairUtils;

/** Enrols, renews and revokes with acme4j, as programs in Java do; the JVM's trust store is told on its command line. */
public final class Interop {
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final Map<String, String> ANSWERS = new ConcurrentHashMap<>();

    private Interop() {}

    public static void main(String[] arguments) throws Exception {
        List<String> deeds = Arrays.asList(arguments);
        Security.addProvider(new BouncyCastleProvider());
        HttpServer server = serve();
        try {
            run(deeds);
        } finally {
            server.stop(0);
        }
    }

    private static void run(List<String> deeds) throws Exception {
        Account account = register(new Session(variable("ACME_DIRECTORY")));

        Certificate first = obtain(account.newOrder(), "first.pem");
        OrderBuilder renewal = account.newOrder();
        if (deeds.contains("ari")) {
            RenewalInfo info = first.getRenewalInfo();
            Instant end = info.getSuggestedWindowEnd();
            require(info.getSuggestedWindowStart().isBefore(end), "the renewal window is empty");
            require(end.isBefore(first.getCertificate().getNotAfter().toInstant()), "the window ends after the life");
            renewal.replaces(first);
        }
        Certificate second = obtain(renewal, "second.pem");
        if (deeds.contains("revoke")) {
            second.revoke(RevocationReason.SUPERSEDED);
        }
    }

    private static Account register(Session session) throws Exception {
        AccountBuilder builder =
                new AccountBuilder().agreeToTermsOfService().useKeyPair(KeyPairUtils.createECKeyPair("secp256r1"));
        String kid = System.getenv("ACME_EAB_KID");
        if (kid != null) {
            builder.withKeyIdentifier(kid, variable("ACME_EAB_KEY"));
        }
        return builder.create(session);
    }

    private static Certificate obtain(OrderBuilder builder, String file) throws Exception {
        KeyPair key = KeyPairUtils.createECKeyPair("secp256r1");
        Order order = builder.domain(variable("ACME_NAME")).create();
        for (Authorization authorization : order.getAuthorizations()) {
            prove(authorization);
        }
        require(order.waitUntilReady(PATIENCE) == Status.READY, "the order did not become ready");
        order.execute(key);
        require(order.waitForCompletion(PATIENCE) == Status.VALID, "the order did not become valid");
        try (FileWriter writer = new FileWriter(file)) {
            order.getCertificate().writeCertificate(writer);
        }
        return order.getCertificate();
    }

    private static void prove(Authorization authorization) throws Exception {
        if (authorization.getStatus() == Status.VALID) {
            return;
        }
        Http01Challenge challenge = authorization.findChallenge(Http01Challenge.class).orElseThrow();
        ANSWERS.put("/.well-known/acme-challenge/" + challenge.getToken(), challenge.getAuthorization());
        challenge.trigger();
        require(authorization.waitForCompletion(PATIENCE) == Status.VALID, "the name was not proved");
    }

    private static HttpServer serve() throws Exception {
        String[] address = variable("ACME_LISTEN").split(":");
        HttpServer server = HttpServer.create(new InetSocketAddress(address[0], Integer.parseInt(address[1])), 0);
        server.createContext("/", exchange -> {
            String answer = ANSWERS.get(exchange.getRequestURI().getPath());
            byte[] body = answer == null ? new byte[0] : answer.getBytes();
            exchange.sendResponseHeaders(answer == null ? 404 : 200, body.length == 0 ? -1 : body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        return server;
    }

    private static String variable(String name) {
        String value = System.getenv(name);
        require(value != null, name + " is not set");
        return value;
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalStateException(otherwise);
        }
    }
}
