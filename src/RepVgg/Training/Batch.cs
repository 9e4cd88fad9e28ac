using RepVgg.Backends;

namespace RepVgg.Training;

/// <summary>Normalised images of one training or validation step; derived types have their targets. The batch is valid until the next call of <see cref="BatchLoader.Next"/>.</summary>
/// <param name="capacity">Largest number of images.</param>
/// <param name="imageLength">Number of values of an image.</param>
internal abstract class Batch(int capacity, int imageLength)
{
    private readonly float[] _images = new float[capacity * imageLength];

    public int Count { get; set; }

    public Span<float> Images => _images.AsSpan(0, Count * imageLength);

    /// <summary>The images that are being copied to the device; null if the loader has no device.</summary>
    public StagedInput? Staged { get; private set; }

    /// <summary>Starts copying the images to a device.</summary>
    public void Stage(Backend backend, ReadOnlySpan<int> imageShape)
    {
        Staged?.Dispose();
        Staged = backend.Stage([Count, .. imageShape], _images.AsMemory(0, Count * imageLength));
    }
}

/// <summary>Images with one label each.</summary>
/// <param name="capacity">Largest number of images.</param>
/// <param name="imageLength">Number of values of an image.</param>
internal sealed class LabeledBatch(int capacity, int imageLength) : Batch(capacity, imageLength)
{
    private readonly int[] _labels = new int[capacity];
    private readonly float[] _weights = new float[capacity];
    private float[] _targets = [], _teacherTargets = [];
    private int _targetsPerImage, _teacherTargetsPerImage;

    public Span<int> Labels => _labels.AsSpan(0, Count);

    /// <summary>Weights of the images in the training loss.</summary>
    public Span<float> Weights => _weights.AsSpan(0, Count);

    /// <summary>The weighted target probabilities, a row of all classes per image; empty if the labels are the targets.</summary>
    public Span<float> Targets => _targets.AsSpan(0, Count * _targetsPerImage);

    /// <summary>The weighted class probabilities of the teacher, a row of all classes per image; empty without a teacher.</summary>
    public Span<float> TeacherTargets => _teacherTargets.AsSpan(0, Count * _teacherTargetsPerImage);

    /// <summary>Provides the memory of <see cref="Targets"/>.</summary>
    public Span<float> CreateTargets(int classes)
    {
        if (_targets.Length < _labels.Length * classes)
            _targets = new float[_labels.Length * classes];
        _targetsPerImage = classes;
        return Targets;
    }

    /// <summary>Provides the memory of <see cref="TeacherTargets"/>.</summary>
    public Span<float> CreateTeacherTargets(int classes)
    {
        if (_teacherTargets.Length < _labels.Length * classes)
            _teacherTargets = new float[_labels.Length * classes];
        _teacherTargetsPerImage = classes;
        return TeacherTargets;
    }
}

/// <summary>Images with a mask each, which has the label of every pixel.</summary>
/// <param name="capacity">Largest number of images.</param>
/// <param name="imageLength">Number of values of an image.</param>
/// <param name="maskLength">Number of pixels of an image.</param>
internal sealed class MaskedBatch(int capacity, int imageLength, int maskLength) : Batch(capacity, imageLength)
{
    private readonly byte[] _masks = new byte[capacity * maskLength];

    /// <summary>The labels, [<see cref="Batch.Count"/>, H, W].</summary>
    public Span<byte> Masks => _masks.AsSpan(0, Count * maskLength);
}
