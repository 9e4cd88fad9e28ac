using RepVgg.Runtime;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>The samples of a pass and what batches are made of them. Any number of threads can use an instance at the same time.</summary>
/// <typeparam name="TBatch">Type of the batches.</typeparam>
internal abstract class BatchSource<TBatch>
    where TBatch : Batch
{
    /// <summary>Number of samples.</summary>
    public abstract int Count { get; }

    /// <summary>Channels, height and width of the images of a batch.</summary>
    public abstract (int Channels, int Height, int Width) ImageShape { get; }

    /// <summary>Number of values of an image of a batch.</summary>
    public int ImageLength => ImageShape.Channels * ImageShape.Height * ImageShape.Width;

    /// <summary>Creates a batch.</summary>
    /// <param name="capacity">Largest number of images.</param>
    public abstract TBatch CreateBatch(int capacity);

    /// <summary>Creates a writer, for one thread.</summary>
    public abstract BatchWriter<TBatch> CreateWriter();

    /// <summary>Weight of a sample in the training loss.</summary>
    public virtual double WeightOf(int sample) => 1;

    /// <summary>Completes a batch whose images are all written.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="random">Random generator of this batch and epoch.</param>
    public virtual void Complete(TBatch batch, RandomStream random)
    {
    }
}

/// <summary>Writes samples to batches, with the memory of one thread.</summary>
/// <typeparam name="TBatch">Type of the batches.</typeparam>
internal abstract class BatchWriter<TBatch>
    where TBatch : Batch
{
    /// <summary>Writes a sample, with its targets.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="index">Index of the image in the batch.</param>
    /// <param name="sample">Index of the sample in the source.</param>
    /// <param name="random">Random generator of the augmentation of this sample and epoch; null for none.</param>
    public abstract void Write(TBatch batch, int index, int sample, RandomStream? random);
}

/// <summary>Labelled images.</summary>
/// <param name="samples">The images.</param>
/// <param name="augmenter">Augments and normalises the images. Its size is that of the batches.</param>
/// <param name="targets">Computes the targets; null if the labels are the targets.</param>
/// <param name="teacher">Computes the class probabilities of the teacher; null without one.</param>
internal sealed class LabeledSource(ISampleSource samples, ImageAugmenter augmenter, TrainingTargets? targets, TeacherTargets? teacher) : BatchSource<LabeledBatch>
{
    /// <inheritdoc/>
    public override int Count => samples.Count;

    /// <inheritdoc/>
    public override (int Channels, int Height, int Width) ImageShape => (samples.Channels, augmenter.Height, augmenter.Width);

    /// <inheritdoc/>
    public override LabeledBatch CreateBatch(int capacity) => new(capacity, ImageLength);

    /// <inheritdoc/>
    public override BatchWriter<LabeledBatch> CreateWriter() => new Writer(samples, augmenter.Clone(), ImageLength);

    /// <inheritdoc/>
    public override double WeightOf(int sample) => targets?.WeightOf(samples.WeightOf(sample), samples.LabelOf(sample)) ?? 1;

    /// <inheritdoc/>
    public override void Complete(LabeledBatch batch, RandomStream random)
    {
        targets?.Apply(batch, random);
        teacher?.Apply(batch);
    }

    private sealed class Writer(ISampleSource samples, ImageAugmenter augmenter, int imageLength) : BatchWriter<LabeledBatch>
    {
        private readonly float[] _floats = new float[samples.Channels * samples.Height * samples.Width];
        private byte[] _bytes = [];

        public override void Write(LabeledBatch batch, int index, int sample, RandomStream? random)
        {
            batch.Weights[index] = samples.WeightOf(sample);
            var destination = batch.Images.Slice(index * imageLength, imageLength);
            var (height, width) = samples.SizeOf(sample);
            if (_bytes.Length < samples.Channels * height * width)
                _bytes = new byte[samples.Channels * height * width];
            var bytes = samples.ReadBytes(sample, _bytes);
            batch.Labels[index] = bytes.IsEmpty ? samples.Read(sample, _floats) : samples.LabelOf(sample);
            switch (bytes.IsEmpty, random)
            {
                case (true, { } stream):
                    augmenter.Augment(_floats, destination, stream, samples.RowOf(sample));
                    break;
                case (true, null):
                    augmenter.Convert<float>(_floats, destination);
                    break;
                case (false, { } stream):
                    augmenter.Augment(bytes, height, width, destination, stream);
                    break;
                default:
                    augmenter.Convert(bytes, destination);
                    break;
            }
        }
    }
}
