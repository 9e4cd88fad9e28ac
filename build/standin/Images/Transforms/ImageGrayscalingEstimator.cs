using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Transforms.Image;

/// <summary>Makes an <see cref="ImageGrayscalingTransformer"/>; there is nothing to learn.</summary>
public sealed class ImageGrayscalingEstimator : TrivialEstimator<ImageGrayscalingTransformer>
{
    internal ImageGrayscalingEstimator(IHostEnvironment env, ImageGrayscalingTransformer transformer)
        : base(env.Register(nameof(ImageGrayscalingEstimator)), transformer)
    {
    }

    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        SchemaShape.Column column = Transformer.Columns.FindImage(inputSchema);
        return inputSchema.With(SchemaShape.Column.Of(Transformer.Columns.Output, column.ItemType, column.Annotations));
    }
}
