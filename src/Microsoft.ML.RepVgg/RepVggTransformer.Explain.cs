using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Explanation;
using Microsoft.ML.RepVgg.Scoring;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.Runtime;
using SkiaSharp;

namespace Microsoft.ML.RepVgg;

public sealed partial class RepVggTransformer
{
    /// <summary>Computes the class activation map of an image for the predicted class: how much each part of the image adds to its logit.</summary>
    /// <remarks>
    /// <para>
    /// The image is decoded and brought to the network as in a column with the content of image files, so its EXIF orientation is applied if the options say so. The map is exact, not an estimate:
    /// the mean of its values plus the class's bias is the logit. Source: Zhou et al., "Learning Deep Features for Discriminative
    /// Localization", CVPR 2016.
    /// </para>
    /// <para>
    /// The first call creates a second engine, which computes the last feature map. It holds another copy of the packed weights, about as
    /// much memory as the engine that scores; <see cref="Dispose"/> frees both. The logits are computed from that map, and
    /// differ from those that are scored by rounding only. A quantized classifier is explained by the network in floating point with the same weights (see <see cref="Network"/>), whose
    /// activations are not rounded to bytes, so that its predicted class can be another one where two classes are almost equally probable. Any number of threads can call this method at the same time.
    /// </para>
    /// </remarks>
    /// <param name="image">The content of an image file: JPEG, PNG, GIF, BMP or WebP.</param>
    /// <returns>The map.</returns>
    /// <exception cref="ArgumentException">The image is empty, cannot be decoded, or is larger than the limit of the options.</exception>
    /// <exception cref="InsufficientMemoryException">The memory for the second engine is not available.</exception>
    /// <exception cref="InvalidOperationException">The input column is a vector of pixels or features: how an image becomes one is not part of this transformer.</exception>
    /// <exception cref="NotSupportedException">The training form of the architecture cannot be fused (see <see cref="Fusion.CanFuse"/>), or SkiaSharp is missing or has another version.</exception>
    /// <exception cref="ObjectDisposedException">The transformer was disposed.</exception>
    public ClassActivationMap Explain(ReadOnlySpan<byte> image) => ExplainFile(image, null);

    /// <summary>Computes the class activation map of an image for a class, as <see cref="Explain(ReadOnlySpan{byte})"/> does.</summary>
    /// <param name="image">The content of an image file: JPEG, PNG, GIF, BMP or WebP.</param>
    /// <param name="classIndex">Index of the class in <see cref="Labels"/>, from 0.</param>
    /// <returns>The map.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no class of this index.</exception>
    public ClassActivationMap Explain(ReadOnlySpan<byte> image, int classIndex) => ExplainFile(image, Check(classIndex));

    /// <summary>Computes the class activation map of an image for a class, as <see cref="Explain(ReadOnlySpan{byte})"/> does.</summary>
    /// <param name="image">The content of an image file: JPEG, PNG, GIF, BMP or WebP.</param>
    /// <param name="className">Name of the class, one of <see cref="Labels"/>; null for the predicted class.</param>
    /// <returns>The map.</returns>
    /// <exception cref="ArgumentException">There is no class of this name; or as for the predicted class.</exception>
    public ClassActivationMap Explain(ReadOnlySpan<byte> image, string? className) => ExplainFile(image, IndexOf(className));

    /// <summary>Computes the class activation map of an image for the predicted class, as <see cref="Explain(ReadOnlySpan{byte})"/> does.</summary>
    /// <param name="image">The image, of any size; it is neither changed nor disposed. Its orientation is that of its pixels.</param>
    /// <returns>The map.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="image"/> is null.</exception>
    /// <exception cref="ArgumentException">The image has another pixel format than Rgba32 and Bgra32, or is larger than the limit of the options.</exception>
    /// <exception cref="InvalidOperationException">The image was disposed; or as for the content of an image file.</exception>
    public ClassActivationMap Explain(MLImage image) => ExplainImage(image, null);

    /// <summary>Computes the class activation map of an image for a class, as <see cref="Explain(MLImage)"/> does.</summary>
    /// <param name="image">The image, of any size; it is neither changed nor disposed. Its orientation is that of its pixels.</param>
    /// <param name="classIndex">Index of the class in <see cref="Labels"/>, from 0.</param>
    /// <returns>The map.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no class of this index.</exception>
    public ClassActivationMap Explain(MLImage image, int classIndex) => ExplainImage(image, Check(classIndex));

    /// <summary>Computes the class activation map of an image for a class, as <see cref="Explain(MLImage)"/> does.</summary>
    /// <param name="image">The image, of any size; it is neither changed nor disposed. Its orientation is that of its pixels.</param>
    /// <param name="className">Name of the class, one of <see cref="Labels"/>; null for the predicted class.</param>
    /// <returns>The map.</returns>
    /// <exception cref="ArgumentException">There is no class of this name; or as for the predicted class.</exception>
    public ClassActivationMap Explain(MLImage image, string? className) => ExplainImage(image, IndexOf(className));

    private ClassActivationMap ExplainFile(ReadOnlySpan<byte> image, int? classIndex)
    {
        var reader = CreateReader();
        using var picture = reader.Decode(image);
        return Explain(reader, picture, classIndex);
    }

    private ClassActivationMap ExplainImage(MLImage image, int? classIndex)
    {
        ArgumentNullException.ThrowIfNull(image);
        var reader = CreateReader();
        using var picture = reader.Copy(image);
        return Explain(reader, picture, classIndex);
    }

    private ClassActivationMap Explain(PictureReader reader, SKBitmap picture, int? classIndex)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        var mapper = _mapper!.Value;
        var (planes, horizontal, vertical) = reader.Resize(picture, mapper);
        float[] features = mapper.Run(planes);
        float[] logits = mapper.Logits(features);
        int predicted = Logits.IndexOfMax(logits), index = classIndex ?? predicted;
        VBuffer<float> probabilities = default;
        Probabilities.Write(logits, ref probabilities);
        return new ClassActivationMap(reader, planes, horizontal, vertical)
        {
            ClassIndex = index,
            ClassName = Labels[index],
            Logit = logits[index],
            Bias = Network.Classifier.Bias[index],
            Probability = probabilities.GetValues()[index],
            PredictedClassIndex = predicted,
            PredictedClassName = Labels[predicted],
            Width = mapper.Width,
            Height = mapper.Height,
            Values = mapper.Map(features, index),
        };
    }

    private PictureReader CreateReader()
    {
        Fusion.RequireFusable(Architecture);
        return Input.IsVector
            ? throw new InvalidOperationException($"The column '{FeatureColumnName}' is a vector of pixels, so the model does not say how an image becomes one. Explain needs a model whose column contains images (MLImage) or the content of image files (Vector<Byte>).")
            : new PictureReader(Input);
    }

    private int Check(int classIndex) =>
        classIndex >= 0 && classIndex < Labels.Count
            ? classIndex
            : throw new ArgumentOutOfRangeException(nameof(classIndex), classIndex, FormattableString.Invariant($"The model has {Labels.Count} classes, with indices from 0 to {Labels.Count - 1}."));

    /// <summary>Finds a class by its name.</summary>
    /// <returns>Its index; null for no name.</returns>
    /// <exception cref="ArgumentException">The model has no such class.</exception>
    internal int? IndexOf(string? className)
    {
        if (className is null)
            return null;
        for (int i = 0; i < Labels.Count; i++)
        {
            if (Labels[i] == className)
                return i;
        }
        throw new ArgumentException($"The model has no class '{className}'; it has '{MessageText.Join(Labels, separator: "', '")}'.", nameof(className));
    }
}
