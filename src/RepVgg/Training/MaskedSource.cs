using RepVgg.Runtime;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>Images with their masks.</summary>
/// <param name="samples">The images and masks.</param>
/// <param name="augmenter">Augments and normalises them. Its size is that of the batches.</param>
internal sealed class MaskedSource(MaskedSamples samples, MaskedImageAugmenter augmenter) : BatchSource<MaskedBatch>
{
    /// <inheritdoc/>
    public override int Count => samples.Count;

    /// <inheritdoc/>
    public override (int Channels, int Height, int Width) ImageShape => (samples.Images.Channels, augmenter.Height, augmenter.Width);

    /// <inheritdoc/>
    public override MaskedBatch CreateBatch(int capacity) => new(capacity, ImageLength, augmenter.Height * augmenter.Width);

    /// <inheritdoc/>
    public override BatchWriter<MaskedBatch> CreateWriter() => new Writer(samples, augmenter, ImageLength);

    private sealed class Writer(MaskedSamples samples, MaskedImageAugmenter augmenter, int imageLength) : BatchWriter<MaskedBatch>
    {
        private byte[] _image = [], _mask = [];

        public override void Write(MaskedBatch batch, int index, int sample, RandomStream? random)
        {
            var (height, width) = samples.Images.SizeOf(sample);
            int area = height * width, maskLength = augmenter.Height * augmenter.Width;
            if (_mask.Length < area)
                (_image, _mask) = (new byte[samples.Images.Channels * area], new byte[area]);
            var image = samples.Images.ReadBytes(sample, _image);
            var mask = samples.Masks.ReadBytes(sample, _mask);
            var pixels = batch.Images.Slice(index * imageLength, imageLength);
            var labels = batch.Masks.Slice(index * maskLength, maskLength);
            if (random is { } stream)
                augmenter.Augment(image, mask, height, width, pixels, labels, stream);
            else
                augmenter.Convert(image, mask, height, width, pixels, labels);
        }
    }
}
