using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Transforms.Onnx;

/// <summary>Applies an ONNX model; there is nothing to learn.</summary>
public sealed class OnnxScoringEstimator : TrivialEstimator<OnnxTransformer>
{
    internal OnnxScoringEstimator(IHostEnvironment environment, OnnxTransformer transformer)
        : base(environment.Register(nameof(OnnxScoringEstimator)), transformer)
    {
    }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Check.NotNull(inputSchema, nameof(inputSchema));
        foreach (string input in Transformer.Inputs)
        {
            if (!inputSchema.TryFindColumn(input, out SchemaShape.Column column))
            {
                throw Check.MissingColumn(nameof(inputSchema), "input", input);
            }

            if (Transformer.Signature.Inputs.All(variable => variable.Name != input))
            {
                throw new InvalidOperationException($"Column {input} doesn't match input node names of model.");
            }

            if (!column.ItemType.Equals(NumberDataViewType.Single))
            {
                throw Check.SchemaMismatch(
                    nameof(inputSchema), "input", input, NumberDataViewType.Single.ToString(), column.ItemType.ToString());
            }
        }

        return inputSchema.With(Transformer.Outputs.Select(output => new SchemaShape.Column(
            output, SchemaShape.Column.VectorKind.Vector, NumberDataViewType.Single, isKey: false)));
    }
}
