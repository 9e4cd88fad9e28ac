using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Runtime.Threading;
using RepVgg.Training.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>The images of a set of rows for training or validation: as the network reads them, or whole if the augmentation cuts parts out of them.</summary>
internal sealed class TrainingImages : IDisposable
{
    /// <summary>Number of encoded images that are decoded in parallel for validation.</summary>
    private const int DecodedTogether = 64;

    private readonly FeatureInput _input;
    private readonly long _memoryLimit;
    private readonly List<SampleCache> _parts = [];

    private TrainingImages(FeatureInput input, SampleCache? scaled, WorkingImages? working, WholeImageCache? whole, long memoryLimit) =>
        (_input, Scaled, Working, Whole, _memoryLimit) = (input, scaled, working, whole, memoryLimit);

    /// <summary>The images at the network's size; null if they are not kept.</summary>
    public SampleCache? Scaled { get; }

    /// <summary>Converts whole images; null if they are not kept.</summary>
    public WorkingImages? Working { get; }

    /// <summary>The whole images; null if they are not kept.</summary>
    public WholeImageCache? Whole { get; }

    /// <summary>The images for training.</summary>
    public ISampleSource Samples => (ISampleSource?)Whole ?? Scaled!;

    /// <summary>Keeps images at the network's size.</summary>
    /// <param name="input">Description of the feature column.</param>
    /// <param name="classes">Number of classes.</param>
    /// <param name="memoryLimit">Maximum bytes of images in memory.</param>
    public static TrainingImages AtNetworkSize(FeatureInput input, int classes, long memoryLimit) =>
        new(input, new SampleCache(input.Channels, input.Height, input.Width, classes, memoryLimit), null, null, memoryLimit);

    /// <summary>Keeps whole images.</summary>
    /// <param name="view">The data.</param>
    /// <param name="input">Description of the feature column, which contains images.</param>
    /// <param name="classes">Number of classes.</param>
    /// <param name="workingSize">Largest length of the shorter side in pixels; larger images are reduced.</param>
    /// <param name="isDivided">Whether some of the images will be needed at the network's size (<see cref="AtNetworkSize(SampleSubset, CancellationToken, int)"/>).</param>
    /// <param name="hashes">Whether hashes of the images are computed, which a checkpoint needs.</param>
    /// <param name="memoryLimit">Maximum bytes of images in memory.</param>
    public static TrainingImages AtOwnSize(IDataView view, FeatureInput input, int classes, int workingSize, bool isDivided, bool hashes, long memoryLimit)
    {
        var column = input.FindColumn(view.Schema);
        var files = ImageFiles.Find(view, input.ColumnName);
        var working = new WorkingImages(workingSize, input.Background, PixelReader.DecodingOf(input, column, files), hashes);
        // Decoded images are also kept at the network's size, because which of them are for validation is known only when all rows were read.
        bool keepsBoth = isDivided && !PixelReader.ReadsContent(column, files);
        var scaled = keepsBoth ? new SampleCache(input.Channels, input.Height, input.Width, classes, memoryLimit) : null;
        return new TrainingImages(input, scaled, working, new WholeImageCache(input.Channels, input.Height, input.Width, classes, working.Decode, memoryLimit), memoryLimit);
    }

    /// <summary>Gets some of the images at the network's size, exactly as they are scored. Their whole images are released.</summary>
    /// <param name="part">A part of <see cref="Samples"/>.</param>
    /// <param name="cancellation">Checked at every image.</param>
    /// <param name="threads">Maximum number of threads that decode images; 0 for all cores.</param>
    /// <returns>The images, in the same order. They are valid until this object is disposed.</returns>
    public ISampleSource AtNetworkSize(SampleSubset part, CancellationToken cancellation, int threads)
    {
        if (Whole is null)
            return part;
        if (Scaled is not null)
        {
            Whole.Release(part.Indices, cancellation);
            return new SampleSubset(Scaled, part.Indices);
        }
        var scaled = new SampleCache(_input.Channels, _input.Height, _input.Width, Whole.Classes, _memoryLimit);
        _parts.Add(scaled);
        int workers = ThreadCount.Resolve(threads);
        var loop = new ParallelLoop(workers);
        var resizers = new ImageResizer?[workers];
        byte[] planes = new byte[checked(DecodedTogether * _input.Length)];
        try
        {
            for (int start = 0; start < part.Count; start += DecodedTogether)
            {
                int first = start, count = Math.Min(DecodedTogether, part.Count - start);
                loop.Run(count, (i, worker) =>
                {
                    cancellation.ThrowIfCancellationRequested();
                    Working!.Decode(Whole.ReadEncoded(part.Indices[first + i]), resizers[worker] ??= _input.CreateResizer(), planes.AsSpan(i * _input.Length, _input.Length));
                });
                for (int i = start; i < start + count; i++)
                    scaled.Add(planes.AsSpan((i - start) * _input.Length, _input.Length), part.LabelOf(i), part.RowOf(i), part.WeightOf(i));
            }
        }
        finally
        {
            foreach (var resizer in resizers)
                resizer?.Dispose();
        }
        Whole.Release(part.Indices, cancellation);
        return scaled;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Scaled?.Dispose();
        Whole?.Dispose();
        _parts.ForEach(part => part.Dispose());
    }
}
