using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin.Images;

namespace Microsoft.ML.Transforms.Image;

/// <summary>Makes a <see cref="VectorToImageConvertingTransformer"/>; there is nothing to learn.</summary>
public sealed class VectorToImageConvertingEstimator : TrivialEstimator<VectorToImageConvertingTransformer>
{
    internal VectorToImageConvertingEstimator(IHostEnvironment env, VectorToImageConvertingTransformer transformer)
        : base(env.Register(nameof(VectorToImageConvertingEstimator)), transformer)
    {
    }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        ColumnPair columns = Transformer.Columns;
        SchemaShape.Column column = columns.Find(inputSchema);
        if (column.Kind != SchemaShape.Column.VectorKind.Vector || !VectorToImageConvertingTransformer.CanConvert(column.ItemType))
        {
            throw Check.SchemaMismatch(
                nameof(inputSchema), "input", columns.Input, "known-size vector of type Single, Double or Byte", column.GetTypeString());
        }

        return inputSchema.With(SchemaShape.Column.Of(columns.Output, Transformer.OutputType));
    }
}
