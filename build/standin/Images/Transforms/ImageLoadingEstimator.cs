using Microsoft.ML.Runtime;
using Microsoft.ML.Standin.Images;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Data;

/// <summary>Makes an <see cref="ImageLoadingTransformer"/>; there is nothing to learn.</summary>
public sealed class ImageLoadingEstimator : TrivialEstimator<ImageLoadingTransformer>
{
    internal ImageLoadingEstimator(IHostEnvironment env, ImageLoadingTransformer transformer)
        : base(env.Register(nameof(ImageLoadingEstimator)), transformer)
    {
    }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        ColumnPair columns = Transformer.Columns;
        SchemaShape.Column column = columns.Find(inputSchema);
        if (column.ItemType is not TextDataViewType || column.Kind != SchemaShape.Column.VectorKind.Scalar)
        {
            throw Check.SchemaMismatch(
                nameof(inputSchema), "input", columns.Input, TextDataViewType.Instance.ToString(), column.GetTypeString());
        }

        return inputSchema.With(SchemaShape.Column.Of(columns.Output, Transformer.OutputType));
    }
}
