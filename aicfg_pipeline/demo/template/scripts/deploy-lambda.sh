#!/bin/sh
# Deploys one Lambda function from the toolkit's working copy: deploy-lambda.sh MODULE/FUNCTION
set -eu
cd "$(dirname "$0")/.."
. ./project.env

module=${1%%/*}
function=${1##*/}
source="$TOOLKIT/templates/_modules-core/$module/backend/lambdas/$function"

echo "deploying $function of $module, commit $(git -C "$TOOLKIT" rev-parse --short HEAD)"
test -f "$source/lambda_function.py" || { echo "no function in $source" >&2; exit 3; }
mkdir -p "build/$function"
cp "$source/lambda_function.py" "build/$function/"
echo "packed $(wc -l < "build/$function/lambda_function.py") lines"
"$PYTHON" scripts/update.py "$function" "build/$function"
echo "deployed $function"
