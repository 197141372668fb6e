# Part of local.sh: what `--secure` adds to the one broker. Everything is made anew, for a broker that is thrown away.
#
#   PORT+2  mutual TLS: a client shows a certificate of ca.pem
#   PORT+3  TLS with SASL: SCRAM-SHA-512, PLAIN, and OAUTHBEARER, whose tokens need no signature but the scope `kafka`,
#           and are asked for again every ten seconds
#
# $data/secure holds ca.pem, client.pem, client.key and client.key.password (for PORT+2), password (for PORT+3, of the
# user `falsefront`) and other-ca.pem, which signed nothing.

secure_user=falsefront

secret() { openssl rand -hex 16 | tr -d '\n'; }

authority() { # name
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -subj "/CN=falsefront $1" \
    -days 30 -out "$1.pem"
}

certificate() { # name, subject alternative names; signed by the authority, with a key in the clear
  printf 'subjectAltName=%s\n' "$2" >"$1.ext" &&
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -subj "/CN=$1" -out "$1.csr" &&
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.pem"
}

make_files() { # Apache Kafka reads a key and its certificates from one file, broker.keystore.pem
  umask 077
  mkdir -p "$data/secure" && cd "$data/secure" &&
    authority ca && authority other-ca &&
    certificate broker DNS:localhost,IP:127.0.0.1 && certificate client DNS:client &&
    secret >password && secret >client.key.password &&
    openssl pkcs8 -topk8 -v2 aes-256-cbc -in client.key -passout file:client.key.password -out client.key.encrypted &&
    mv client.key.encrypted client.key &&
    cat broker.key broker.pem ca.pem >broker.keystore.pem &&
    rm -f -- *.csr *.ext *.srl ca.key other-ca.key broker.key && touch .complete
}

make_secrets() {
  [ -e "$data/secure/.complete" ] && return
  (make_files) >"$data/secure.log" 2>&1 || { echo "local.sh: no certificates; see $data/secure.log" >&2; exit 1; }
}

secure_listeners() { echo ",MUTUAL://127.0.0.1:$((port + 2)),SASL://127.0.0.1:$((port + 3))"; }

secure_properties() {
  local module=org.apache.kafka.common.security password
  password=$(cat "$data/secure/password")
  cat <<PROPERTIES
ssl.keystore.type=PEM
ssl.keystore.location=$data/secure/broker.keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location=$data/secure/ca.pem
listener.name.mutual.ssl.client.auth=required
listener.name.sasl.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN,OAUTHBEARER
listener.name.sasl.scram-sha-512.sasl.jaas.config=$module.scram.ScramLoginModule required;
listener.name.sasl.plain.sasl.jaas.config=$module.plain.PlainLoginModule required user_$secure_user="$password";
listener.name.sasl.oauthbearer.sasl.jaas.config=$module.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker" unsecuredValidatorRequiredScope="kafka";
listener.name.sasl.oauthbearer.connections.max.reauth.ms=10000
PROPERTIES
}

secure_scram() { echo "SCRAM-SHA-512=[name=$secure_user,password=$(cat "$data/secure/password")]"; }

secure_ready() {
  echo "mutual-tls 127.0.0.1:$((port + 2))"
  echo "sasl-tls 127.0.0.1:$((port + 3))"
  echo "files $data/secure"
}
