using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Schemas and annotations, as their builders make them.</summary>
public sealed class SchemaTests
{
    [Fact]
    public void LaterColumnsHideEarlierOnes()
    {
        DataViewSchema.Builder builder = new();
        builder.AddColumn("A", NumberDataViewType.Single);
        builder.AddColumn("B", TextDataViewType.Instance);
        builder.AddColumn("A", NumberDataViewType.Int32);
        DataViewSchema schema = builder.ToSchema();

        Assert.Equal(3, schema.Count);
        Assert.True(schema[0].IsHidden);
        Assert.False(schema[2].IsHidden);
        Assert.Equal(2, schema["A"].Index);
        Assert.Equal(NumberDataViewType.Int32, schema["A"].Type);
        Assert.Null(schema.GetColumnOrNull("C"));
        Assert.Throws<ArgumentOutOfRangeException>(() => schema["C"]);
        Assert.Throws<ArgumentOutOfRangeException>(() => schema[3]);
        Assert.Equal("B: String", schema[1].ToString());
        Assert.Equal("3 columns", schema.ToString());
    }

    [Fact]
    public void AnnotationsHoldTypedValues()
    {
        DataViewSchema.Annotations.Builder annotations = new();
        annotations.AddPrimitiveValue("Count", NumberDataViewType.Int32, 42);
        annotations.Add(
            "SlotNames", new VectorDataViewType(TextDataViewType.Instance, 2), Columns.TextsGetter("x", "y"));
        DataViewSchema.Builder builder = new();
        builder.AddColumn("V", new VectorDataViewType(NumberDataViewType.Single, 2), annotations.ToAnnotations());
        DataViewSchema.Column column = builder.ToSchema()["V"];

        int count = 0;
        column.Annotations.GetValue("Count", ref count);
        Assert.Equal(42, count);
        Assert.True(column.HasSlotNames());
        Assert.Equal(["x", "y"], column.SlotTexts());
        Assert.False(column.IsNormalized());
        Assert.Equal(["Count", "SlotNames"], column.Annotations.Schema.Names());
        Assert.Equal("V: Vector<Single, 2> {Count, SlotNames}", column.ToString());
        long wrong = 0;
        Assert.Throws<InvalidOperationException>(() => column.Annotations.GetValue("Count", ref wrong));
        Assert.Throws<InvalidOperationException>(() => column.Annotations.GetValue("None", ref count));
    }

    [Fact]
    public void AnnotationsCanBeTakenOverInPart()
    {
        DataViewSchema.Annotations.Builder annotations = new();
        annotations.AddPrimitiveValue("A", NumberDataViewType.Int32, 1);
        annotations.AddPrimitiveValue("B", NumberDataViewType.Int32, 2);
        DataViewSchema.Annotations.Builder part = new();
        part.Add(annotations.ToAnnotations(), name => name == "B");
        part.Add(null, name => true);

        Assert.Equal(["B"], part.ToAnnotations().Schema.Names());
    }

    [Fact]
    public void AnnotationsRefuseGettersOfAnotherType()
    {
        DataViewSchema.Annotations.Builder annotations = new();

        Assert.Throws<ArgumentException>(() => annotations.AddPrimitiveValue("A", NumberDataViewType.Int32, 1f));
        Assert.Throws<ArgumentException>(() => annotations.Add("A", NumberDataViewType.Int32, Columns.TextsGetter()));
        Assert.Throws<ArgumentNullException>(() => annotations.AddPrimitiveValue("", NumberDataViewType.Int32, 1));
    }

    [Fact]
    public void KeyValuesCountOnlyWhereTheyFitTheKey()
    {
        DataViewSchema.Builder builder = new();
        builder.AddColumn("K", new KeyDataViewType(typeof(uint), 2), KeyValues("a", "b"));
        builder.AddColumn("Short", new KeyDataViewType(typeof(uint), 3), KeyValues("a", "b"));
        builder.AddColumn("NoKey", NumberDataViewType.UInt32, KeyValues("a", "b"));
        DataViewSchema schema = builder.ToSchema();

        Assert.True(schema["K"].HasKeyValues());
        Assert.False(schema["K"].HasKeyValues(NumberDataViewType.Int32));
        Assert.Equal(["a", "b"], schema["K"].KeyTexts());
        Assert.False(schema["Short"].HasKeyValues());
        Assert.False(schema["NoKey"].HasKeyValues());
    }

    private static DataViewSchema.Annotations KeyValues(params string[] texts)
    {
        DataViewSchema.Annotations.Builder annotations = new();
        annotations.Add(
            "KeyValues", new VectorDataViewType(TextDataViewType.Instance, texts.Length), Columns.TextsGetter(texts));
        return annotations.ToAnnotations();
    }
}
