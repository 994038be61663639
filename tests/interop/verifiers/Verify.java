// Verifies a chain with Java's PKIX validator (RFC 5280 6), whose name constraints are its own work.
// Exit status 0: accepted; 1: refused; 2: it could not be asked. Arguments: root, intermediate, leaf, name or address.
import java.io.FileInputStream;
import java.io.InputStream;
import java.security.cert.CertPath;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Set;

public class Verify {
    static X509Certificate load(String path) throws Exception {
        try (InputStream file = new FileInputStream(path)) {
            return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(file);
        }
    }

    public static void main(String[] arguments) {
        try {
            PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(load(arguments[0]), null)));
            parameters.setRevocationEnabled(false);
            CertPath path = CertificateFactory.getInstance("X.509")
                .generateCertPath(List.of(load(arguments[2]), load(arguments[1])));
            CertPathValidator.getInstance("PKIX").validate(path, parameters);
        } catch (CertPathValidatorException refused) {
            System.out.println(refused.getMessage());
            System.exit(1);
        } catch (Exception error) {
            System.out.println(error);
            System.exit(2);
        }
        System.out.println("accepted");
    }
}
